import { Channel, type Subscriber } from './channel.js'
import type { ChannelLog, LogPosition } from './log.js'
import { covers, earliest } from './position.js'

/** The channels of this instance that somebody listens to or provides. It follows in the log those with listeners. */
export class ChannelSet {
	readonly #log: Pick<ChannelLog, 'subscribe' | 'unsubscribe'>
	readonly #onError: (error: unknown) => void
	readonly #channels = new Map<string, Channel>()
	/** Subscriptions that the log has not answered yet. */
	#pending = 0

	constructor(log: Pick<ChannelLog, 'subscribe' | 'unsubscribe'>, onError: (error: unknown) => void) {
		this.#log = log
		this.#onError = onError
	}

	/**
	 * Where this instance stands before it has delivered anything: the first position from which on it gets a channel.
	 * `undefined` while that is not certain.
	 */
	get start(): LogPosition | undefined {
		if (this.#pending > 0) return undefined
		const starts: LogPosition[] = []
		for (const { certainSince } of this.#channels.values())
			if (certainSince !== undefined) starts.push(certainSince)
		return earliest(starts)
	}

	/** Channels that somebody listens to. */
	get listened(): number {
		let listened = 0
		for (const channel of this.#channels.values()) if (channel.size > 0) listened++
		return listened
	}

	/** Listeners of all channels. */
	get listeners(): number {
		let listeners = 0
		for (const channel of this.#channels.values()) listeners += channel.size
		return listeners
	}

	get(name: string): Channel | undefined {
		return this.#channels.get(name)
	}

	getOrAdd(name: string): Channel {
		const known = this.#channels.get(name)
		if (known !== undefined) return known
		const channel = new Channel(name)
		this.#channels.set(name, channel)
		return channel
	}

	/** Follows the channel in the log, if it does not yet. Calls `onAnswer` when the log has answered later. */
	follow(channel: Channel, onAnswer: () => void): void {
		if (channel.since !== undefined) return
		const since = this.#log.subscribe(channel.name)
		channel.since = since
		if (!(since instanceof Promise)) return
		this.#pending++
		since.then(
			(position) => {
				this.#pending--
				if (channel.since === since) channel.since = position
				onAnswer()
			},
			(error: unknown) => {
				this.#pending--
				// Nobody may be listening any more: then there is nothing to report.
				if (channel.since !== since || this.#channels.get(channel.name) !== channel) return
				channel.since = undefined
				this.#log.unsubscribe(channel.name)
				this.#onError(error)
			},
		)
	}

	/** Entries of the channel up to `position` are lost to this instance, which gets what comes after it. */
	skip(channel: Channel, position: LogPosition): void {
		const { certainSince } = channel
		if (certainSince !== undefined && !covers(certainSince, position)) channel.since = position
	}

	/** Another epoch has begun, in which this instance has missed nothing up to `position` on any channel. */
	goOnFrom(position: LogPosition): void {
		for (const channel of this.#channels.values()) this.skip(channel, position)
	}

	/** This instance has delivered everything up to `position` on every channel that it follows. */
	caughtUp(position: LogPosition): void {
		for (const channel of this.#channels.values()) {
			// A newcomer begins here, and not where the channel was followed first, perhaps days ago.
			if (channel.certainSince !== undefined) channel.since = position
			for (const replaying of channel.replaying.values()) replaying.caughtUp()
		}
	}

	/** The stream does not listen to the channel any more. */
	remove(stream: Subscriber, channel: Channel): void {
		const { writer } = stream
		channel.listeners.delete(writer)
		channel.replaying.get(writer)?.leave(channel)
		writer.forgetNewest(channel)
		if (channel.size > 0) return
		if (channel.since !== undefined) this.#unfollow(channel)
		channel.since = undefined
		this.forgetIfUnused(channel)
	}

	forgetIfUnused(channel: Channel): void {
		if (channel.size > 0 || channel.provider !== undefined) return
		if (this.#channels.get(channel.name) === channel) this.#channels.delete(channel.name)
	}

	clear(): void {
		this.#channels.clear()
	}

	/** A stream that ends must leave all its channels, whatever an adapter does. */
	#unfollow({ name }: Channel): void {
		try {
			this.#log.unsubscribe(name)
		} catch (error) {
			this.#onError(error)
		}
	}
}

import { Channel, type EvChannelProvider, type EvChannelSource } from './channel.js'
import { EvMaxListenerError } from './errors.js'
import { FanOut } from './fan-out.js'
import { encodeMessage, Frame } from './frame.js'
import { frameOf, HistoryReader, resetFrame } from './history.js'
import type { Awaitable, ChannelLog, LogEntry, LogPosition, LogReceiver, ResetReason } from './log.js'
import type { ManagedStream } from './managed-stream.js'
import type { ManagerSettings } from './manager-options.js'
import { MemoryLog } from './memory-log.js'
import { Replay, type ReplayContext } from './replay.js'
import { now } from './timers.js'
import type { EvSendOptions } from './types.js'

type Filter = NonNullable<EvSendOptions['filter']>

/**
 * The channels of one manager: takes what the log delivers to the streams that listen here, and brings streams
 * that begin to listen to the end of the log.
 */
export class Hub implements LogReceiver, ReplayContext {
	readonly history: HistoryReader
	/** The last entry this instance has delivered; with an adapter undefined until there is one. */
	delivered: LogPosition | undefined
	sent = 0
	replays = 0
	resets = 0
	readonly #settings: ManagerSettings
	readonly #find: (id: string) => ManagedStream | undefined
	readonly #channels = new Map<string, Channel<ManagedStream>>()
	readonly #fanOut = new FanOut()
	readonly #log: ChannelLog
	/** The filters of messages the in-memory log keeps: a replay must not show what they hid. */
	readonly #filters = new WeakMap<LogEntry, Filter>()
	/** The filter of the message that is being appended. */
	#filter: Filter | undefined

	constructor(settings: ManagerSettings, instance: string, find: (id: string) => ManagedStream | undefined) {
		this.#settings = settings
		this.#find = find
		const { adapter, retention = () => ({ size: 0, ttl: 0 }) } = settings
		if (adapter === undefined) {
			const log = new MemoryLog(this, { retention, instance, resumable: settings.retention !== undefined })
			this.#log = log
			this.delivered = log.position
		} else {
			this.#log = adapter.openLog(this, { retention, instance, resumable: settings.retention !== undefined })
		}
		this.history = new HistoryReader(
			this.#log,
			(entry) => entry.except !== undefined || this.#filters.has(entry),
		)
	}

	/** Frames handed to listeners. */
	get deliveries(): number {
		return this.#fanOut.deliveries
	}

	/** Channels that somebody listens to. */
	get channels(): number {
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

	/** Hands an encoded message to the log. */
	append(name: string, payload: string, { except, filter }: EvSendOptions): Awaitable<LogPosition> {
		this.#filter = filter
		try {
			return this.#log.append(name, payload, except)
		} finally {
			this.#filter = undefined
		}
	}

	/** Hands a message for a stream to the other instances. */
	direct(streamId: string, payload: string): void {
		this.#find(streamId)?.session.say(new Frame(payload))
	}

	/** Hands a message for a stream that is not here to the other instances. */
	forward(streamId: string, payload: string): Awaitable<void> {
		return this.#log.direct(streamId, payload)
	}

	/** @throws EvMaxListenerError */
	listen(stream: ManagedStream, name: string, last: number): void {
		// First, as it may end streams that are too slow: this one, or the channel's last listener and the channel.
		this.#fanOut.flush()
		if (stream.closed) return
		const channel = this.#channels.get(name) ?? this.#add(name)
		if (channel.has(stream.session)) return
		if (channel.size >= this.#settings.maxListeners) {
			this.#forgetIfUnused(channel)
			throw new EvMaxListenerError(channel.size, name)
		}
		const snapshot = channel.provider?.snapshot?.()
		const greeting = snapshot === undefined ? undefined : new Frame(encodeMessage(snapshot))
		const { session: connection } = stream
		// A spread would leave room for sixteen more, which every idle stream would keep.
		stream.channels = stream.channels.concat(channel)
		this.#subscribe(channel)
		if (greeting !== undefined) connection.writeNewest(channel, greeting, now())
		if (stream.closed) return
		if (this.#settings.retention === undefined) {
			channel.listeners.set(connection, stream)
		} else {
			stream.replay ??= new Replay(this, stream)
			stream.replay.add(channel, last)
		}
	}

	unlisten(stream: ManagedStream, name: string): void {
		const channel = this.#channels.get(name)
		if (channel === undefined || !channel.has(stream.session)) return
		this.#fanOut.flush()
		stream.channels = stream.channels.filter((other) => other !== channel)
		this.#remove(stream, channel)
	}

	/** The stream has ended. */
	left(stream: ManagedStream): void {
		for (const channel of stream.channels) this.#remove(stream, channel)
	}

	/** @throws Error if the channel has a provider already. */
	provide(name: string, provider: EvChannelProvider): EvChannelSource {
		const channel = this.#channels.get(name) ?? this.#add(name)
		if (channel.provider !== undefined) {
			throw new Error(
				`The channel "${name}" has a provider already. Close that state first, or use another channel.`,
			)
		}
		channel.provider = provider
		return {
			broadcast: (message) => this.#broadcast(channel, new Frame(encodeMessage(message))),
			close: () => {
				if (channel.provider !== provider) return
				channel.provider = undefined
				this.#forgetIfUnused(channel)
			},
		}
	}

	/** Tells a stream for which messages were left out where it goes on. */
	recovered(stream: ManagedStream): void {
		this.#reset(stream, this.delivered, 'slow')
	}

	/** Writes the messages of this tick now. */
	flush(): void {
		this.#fanOut.flush()
	}

	mayGet(stream: ManagedStream, entry: LogEntry): boolean {
		if (entry.except !== undefined && entry.except === stream.id) return false
		const filter = this.#filters.get(entry)
		return filter === undefined || this.#passes(filter, stream)
	}

	count(what: 'replays' | 'resets'): void {
		this[what]++
	}

	onError(error: unknown): void {
		this.#settings.connection.onError(error)
	}

	deliver(entry: LogEntry): void {
		this.delivered = entry
		const filter = this.#filter
		if (filter !== undefined && this.#settings.retention !== undefined) this.#filters.set(entry, filter)
		const channel = this.#channels.get(entry.channel)
		if (channel === undefined) return
		for (const joining of channel.joining.values()) joining.live(entry)
		if (channel.listeners.size === 0) return
		const frame = this.#settings.retention === undefined ? new Frame(entry.payload) : frameOf(entry)
		if (entry.except === undefined && filter === undefined) this.#fanOut.push(channel, frame)
		else this.#deliverTo(channel, entry, frame, filter)
	}

	reset(name: string, position: LogPosition, reason: ResetReason): void {
		const channel = this.#channels.get(name)
		if (channel === undefined) return
		this.#fanOut.flush()
		for (const joining of channel.joining.values()) joining.gap(channel, position)
		for (const stream of channel.listeners.values()) this.#reset(stream, position, reason)
	}

	error(error: unknown): void {
		this.onError(error)
	}

	close(): Awaitable<void> {
		this.#channels.clear()
		return this.#log.close()
	}

	#deliverTo(
		channel: Channel<ManagedStream>,
		{ except }: LogEntry,
		frame: Frame,
		filter: Filter | undefined,
	): void {
		this.#fanOut.flush()
		const left = except === undefined ? undefined : this.#find(except)
		const time = now()
		for (const [connection, stream] of channel.listeners) {
			if (stream === left || (filter !== undefined && !this.#passes(filter, stream))) continue
			if (connection.writeCorked(frame, time)) this.#fanOut.deliveries++
		}
	}

	/** A filter may keep a secret: one that throws shows nothing. */
	#passes(filter: Filter, stream: ManagedStream): boolean {
		try {
			return filter(stream) === true
		} catch (error) {
			this.onError(error)
			return false
		}
	}

	#broadcast(channel: Channel<ManagedStream>, frame: Frame): void {
		this.#fanOut.flush()
		const time = now()
		for (const connection of channel.listeners.keys()) {
			if (connection.writeNewest(channel, frame, time)) this.#fanOut.deliveries++
		}
		// They have had a snapshot; what came since is theirs too, however long the log takes.
		for (const connection of channel.joining.keys()) {
			if (connection.writeNewest(channel, frame, time)) this.#fanOut.deliveries++
		}
	}

	#reset(stream: ManagedStream, position: LogPosition | undefined, reason: ResetReason): void {
		this.resets++
		const known = this.#settings.retention === undefined ? undefined : position
		stream.session.writeCorked(resetFrame(known, reason), now())
	}

	#add(name: string): Channel<ManagedStream> {
		const channel = new Channel<ManagedStream>(name)
		this.#channels.set(name, channel)
		return channel
	}

	#subscribe(channel: Channel<ManagedStream>): void {
		if (channel.since !== undefined) return
		const since = this.#log.subscribe(channel.name)
		channel.since = since
		if (!(since instanceof Promise)) return
		since.then(
			(position) => {
				if (channel.since === since) channel.since = position
			},
			(error: unknown) => {
				// Who left before it was certain has nothing to be told.
				if (channel.since !== since || this.#channels.get(channel.name) !== channel) return
				channel.since = undefined
				this.#log.unsubscribe(channel.name)
				this.onError(error)
			},
		)
	}

	#remove(stream: ManagedStream, channel: Channel<ManagedStream>): void {
		const { session: connection } = stream
		channel.listeners.delete(connection)
		channel.joining.get(connection)?.leave(channel)
		connection.forgetNewest(channel)
		if (channel.size > 0) return
		if (channel.since !== undefined) this.#log.unsubscribe(channel.name)
		channel.since = undefined
		this.#forgetIfUnused(channel)
	}

	#forgetIfUnused(channel: Channel<ManagedStream>): void {
		if (channel.size > 0 || channel.provider !== undefined) return
		if (this.#channels.get(channel.name) === channel) this.#channels.delete(channel.name)
	}
}

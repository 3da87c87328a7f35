import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import {
	type ChannelLog,
	EvClosedError,
	EvUnavailableError,
	type LogOptions,
	type LogPage,
	type LogPosition,
	type LogReceiver,
	type LogStart,
} from '@evstream/core'
import type { RedisBus } from '@evstream/pubsub'
import { outsideContext } from './context.js'
import { Inbox } from './inbox.js'
import type { RedisNames } from './keys.js'
import { KEEP, newEpoch, rethrow } from './log-commands.js'
import { LogPublisher } from './log-publisher.js'
import { type LogRead, parseRead, type ReadFrom, type ReadLog, readPage } from './log-reader.js'
import { publishedEntries } from './published-entries.js'
import { READ } from './read-script.js'
import { defineScripts, runScript } from './script.js'

/** The most entries of one channel that one read gives. */
const PAGE = 1_000
/** How long it waits after a failed read before it tries again, in ms. */
const RETRY = 250

/** What a log has counted. */
export interface RedisLogCounters {
	published: number
	received: number
	repairedHoles: number
	resets: number
	outbox: number
}

/** The channel log of all instances on one Redis. */
export class RedisLog implements ChannelLog {
	readonly #bus: RedisBus
	readonly #names: RedisNames
	readonly #receiver: LogReceiver
	readonly #options: LogOptions
	readonly #deadline: number
	readonly #onClose: () => void
	readonly #inbox: Inbox
	readonly #publisher: LogPublisher
	readonly #undo: (() => void)[]
	/** What ends the subscription of each channel. */
	readonly #subscriptions = new Map<string, Promise<() => void>>()
	/** A read of the head that was not sent yet. */
	#nextHead: Promise<LogPosition> | undefined
	#closed = false

	constructor(
		bus: RedisBus,
		names: RedisNames,
		receiver: LogReceiver,
		options: LogOptions,
		deadlineMs: number,
		onClose: () => void,
	) {
		this.#bus = bus
		this.#names = names
		this.#receiver = receiver
		this.#options = options
		this.#deadline = deadlineMs
		this.#onClose = onClose
		defineScripts(bus.client, [READ])
		this.#inbox = new Inbox(receiver, (channels, limit) => this.#read(channels, limit))
		this.#publisher = new LogPublisher(bus, names, options, deadlineMs)
		this.#undo = [bus.onLost(() => this.#inbox.lost()), bus.onRestored(() => this.#inbox.restored())]
		void this.#listenForDirect()
	}

	/** The counters, as a new plain object. */
	counters(): RedisLogCounters {
		const { published, waiting: outbox } = this.#publisher
		return { published, ...this.#inbox.counters, outbox }
	}

	append(channel: string, payload: string, except = ''): Promise<LogPosition> {
		return this.#publisher.append(channel, payload, except)
	}

	subscribe(channel: string): Promise<LogPosition> {
		return outsideContext(() => this.#subscribe(channel))
	}

	async #subscribe(channel: string): Promise<LogPosition> {
		if (this.#closed) throw new EvClosedError('The log')
		this.#inbox.opening(channel)
		const subscription = this.#bus.subscribe(this.#names.messageChannel(channel), (published) =>
			this.#receive(channel, published),
		)
		this.#subscriptions.set(channel, subscription)
		await subscription
		this.#nextHead ??= this.#readHead()
		const head = await this.#nextHead
		if (this.#subscriptions.get(channel) !== subscription) throw new EvClosedError('The subscription')
		return this.#inbox.opened(channel, head)
	}

	unsubscribe(channel: string): void {
		const subscription = this.#subscriptions.get(channel)
		this.#subscriptions.delete(channel)
		this.#inbox.forget(channel)
		outsideContext(() =>
			subscription?.then(
				(undo) => undo(),
				() => {},
			),
		)
	}

	read(channels: readonly string[], start: LogStart): Promise<LogPage> {
		const { resumable, retention } = this.#options
		const isKept = (channel: string): boolean => !resumable || retention(channel).size > 0
		const readLog: ReadLog = (from, limit) => this.#read(from, limit)
		return outsideContext(() => readPage(readLog, channels, start, PAGE, isKept))
	}

	async direct(streamId: string, payload: string): Promise<void> {
		const instance = streamId.slice(0, streamId.lastIndexOf('-') + 1)
		await this.#bus
			.publish(this.#names.directChannel(instance), JSON.stringify([streamId, payload]), this.#deadline)
			.catch(rethrow)
	}

	close(): void {
		if (this.#closed) return
		this.#closed = true
		for (const channel of [...this.#subscriptions.keys()]) this.unsubscribe(channel)
		for (const undo of this.#undo) undo()
		this.#inbox.close()
		this.#publisher.close()
		this.#onClose()
	}

	/** Where the log stands after now. Channels that are subscribed in one turn share it: there may be thousands. */
	async #readHead(): Promise<LogPosition> {
		for (;;) {
			await nextTurn()
			this.#nextHead = undefined
			try {
				return (await this.#read([], 1)).head
			} catch (error) {
				if (this.#closed) throw new EvClosedError('The log')
				if (!(error instanceof EvUnavailableError)) throw error
				this.#receiver.error(error)
				await sleep(RETRY, undefined, { ref: false })
			}
		}
	}

	async #listenForDirect(): Promise<void> {
		try {
			const undo = await this.#bus.subscribe(this.#names.directChannel(this.#options.instance), (published) =>
				this.#receiveDirect(published),
			)
			if (this.#closed) undo()
			else this.#undo.push(undo)
		} catch (error) {
			if (!this.#closed) this.#receiver.error(error)
		}
	}

	#receive(channel: string, published: string): void {
		try {
			this.#inbox.receive(publishedEntries(channel, published))
		} catch (error) {
			this.#receiver.error(error)
		}
	}

	#receiveDirect(published: string): void {
		try {
			const message: unknown = JSON.parse(published)
			const [streamId, payload]: unknown[] = Array.isArray(message) ? message : []
			if (typeof streamId !== 'string' || typeof payload !== 'string') {
				throw new TypeError('Something that is no message for a stream was published.')
			}
			this.#receiver.direct(streamId, payload)
		} catch (error) {
			this.#receiver.error(error)
		}
	}

	async #read(channels: readonly { name: string; from: ReadFrom }[], limit: number): Promise<LogRead> {
		const names = this.#names
		const reply = await this.#bus
			.command((client) =>
				runScript(
					client,
					READ,
					[names.log, names.channels, ...channels.map(({ name }) => names.channel(name))],
					[
						newEpoch(),
						KEEP,
						limit,
						...channels.flatMap(({ name, from }) => [
							name,
							typeof from === 'number' ? from : `last:${from.last}`,
						]),
					],
				),
			)
			.catch(rethrow)
		return parseRead(
			reply,
			channels.map(({ name }) => name),
			limit,
		)
	}
}

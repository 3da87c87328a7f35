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
import { KEEP } from './keep-script.js'
import type { RedisNames } from './keys.js'
import { LogCommandError, LogCommands } from './log-commands.js'
import { LogKeeper } from './log-keeper.js'
import { LogPublisher } from './log-publisher.js'
import { type LogRead, parseRead, type ReadFrom, type ReadLog, readPage } from './log-reader.js'
import { PUBLISH } from './publish-script.js'
import { publishedEntries } from './published-entries.js'
import { READ } from './read-script.js'

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
	readonly #commands: LogCommands
	readonly #keeper: LogKeeper
	readonly #publisher: LogPublisher
	readonly #undo: (() => void)[]
	/** What ends the subscription of each channel. */
	readonly #subscriptions = new Map<string, Promise<() => void>>()
	/** A read of the head that was not sent yet. */
	#nextHead: Promise<LogPosition> | undefined
	#closed = false
	#closing: Promise<void> | undefined

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
		this.#commands = new LogCommands(bus, [PUBLISH, KEEP, READ], (error) => receiver.error(error))
		this.#inbox = new Inbox(receiver, (channels, limit) => this.#read(channels, limit))
		this.#keeper = new LogKeeper(names, this.#commands, options, deadlineMs, () => this.#inbox.lowest())
		this.#publisher = new LogPublisher(bus, names, this.#commands, options, deadlineMs)
		this.#undo = [bus.onLost(() => this.#inbox.lost()), bus.onRestored(() => this.#inbox.restored())]
		void this.#listenForDirect()
	}

	/** The counters, as a new plain object. */
	counters(): RedisLogCounters {
		const { published, waiting: outbox } = this.#publisher
		return { published, ...this.#inbox.counters, outbox }
	}

	append(channel: string, payload: string, except = ''): Promise<LogPosition> {
		this.#keeper.use(channel)
		const sent = this.#publisher.append(channel, payload, except)
		this.#keeper.start()
		return sent
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
		const position = this.#inbox.opened(channel, head)
		this.#keeper.use(channel)
		this.#keeper.start()
		return position
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
			.catch((cause: unknown) => {
				throw unavailable(cause)
			})
	}

	close(): Promise<void> {
		this.#closing ??= this.#close()
		return this.#closing
	}

	async #close(): Promise<void> {
		this.#closed = true
		for (const channel of [...this.#subscriptions.keys()]) this.unsubscribe(channel)
		for (const undo of this.#undo) undo()
		this.#inbox.close()
		this.#keeper.close()
		this.#onClose()
		await outsideContext(() => this.#publisher.close())
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
			const entries = publishedEntries(channel, published)
			const last = entries.at(-1)
			if (last !== undefined) this.#commands.head.note(last.epoch, last.seq)
			this.#inbox.receive(entries)
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
		const keys = [names.log, names.channels, ...channels.map(({ name }) => names.channel(name))]
		const args = (): (string | number)[] => [
			limit,
			...channels.flatMap(({ name, from }) => [name, typeof from === 'number' ? from : `last:${from.last}`]),
		]
		const run = (): Promise<unknown> => this.#commands.run(READ, keys, args, this.#deadline)
		const reply = await run().catch(async (error: unknown) => {
			if (!(error instanceof LogCommandError) || error.answer !== 'EVBEGIN') throw error
			// Reading never writes, so an epoch is begun by the keeper.
			await this.#keeper.keep()
			return run()
		})
		const read = parseRead(
			reply,
			channels.map(({ name }) => name),
			limit,
		)
		this.#commands.head.note(read.head.epoch, read.head.seq)
		return read
	}
}

function unavailable(cause: unknown): Error {
	if (cause instanceof Error && Reflect.get(cause, 'code') === 'EV_CLOSED')
		return new EvClosedError('The Redis adapter')
	const message = cause instanceof Error ? cause.message : String(cause)
	return new EvUnavailableError(`Redis did not take a command: ${message}`, { cause })
}

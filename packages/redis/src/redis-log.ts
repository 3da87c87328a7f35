import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import {
	type ChannelLog,
	EvClosedError,
	EvUnavailableError,
	type LogOptions,
	type LogPage,
	type LogPosition,
	type LogReceiver,
	type LogRetention,
	type LogStart,
} from '@evstream/core'
import { Outage, type RedisBus, type RedisCommands } from '@evstream/pubsub'
import { outsideContext } from './context.js'
import { Inbox } from './inbox.js'
import type { RedisNames } from './keys.js'
import { type LogRead, parseRead, type ReadFrom, type ReadLog, readPage } from './log-reader.js'
import { LOG_SCRIPTS, PUBLISH, READ } from './log-scripts.js'
import { Outbox, type Outgoing } from './outbox.js'
import { publishedEntries } from './published-entries.js'
import { defineScripts, runScript } from './script.js'

/** The most entries of one channel that one read gives. */
const PAGE = 1_000
/** How long the log remembers that a channel existed, in ms: positions that clients keep longer are reset. */
const KEEP = 3 * 86_400_000
/** What is kept without history, to repair this instance's own holes. */
const REPAIR: LogRetention = { size: 1_000, ttl: 60_000 }
/**
 * The longest stream Redis is asked for: some servers read `MAXLEN` as a number of 32 bits. An endless history means
 * this, which is more than fits into the memory of a node.
 */
const MOST = 2 ** 31 - 1
/** The longest time Redis is asked to keep something, in ms: some 300 years. */
const LONGEST = 1e13
/** How long it waits after a failed read before it tries again, in ms. */
const RETRY = 250

/** The most reads and batches that may be without an answer at a time. */
const PENDING = 10_000

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
	readonly #commands: RedisCommands
	readonly #outage: Outage
	readonly #names: RedisNames
	readonly #receiver: LogReceiver
	readonly #options: LogOptions
	readonly #deadline: number
	readonly #onClose: () => void
	readonly #inbox: Inbox
	readonly #outbox: Outbox
	readonly #producer = randomUUID()
	readonly #undo: (() => void)[]
	/** What ends the subscription of each channel. */
	readonly #subscriptions = new Map<string, Promise<() => void>>()
	/** A read of the head that was not sent yet. */
	#nextHead: Promise<LogPosition> | undefined
	#batch = 0
	#published = 0
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
		this.#commands = bus.commands({ limit: PENDING })
		this.#outage = new Outage((error) => receiver.error(error))
		this.#names = names
		this.#receiver = receiver
		this.#options = options
		this.#deadline = deadlineMs
		this.#onClose = onClose
		defineScripts(bus.client, LOG_SCRIPTS)
		this.#inbox = new Inbox(receiver, (channels, limit) => this.#read(channels, limit))
		this.#outbox = new Outbox(
			{
				ready: () => !bus.waits,
				publish: (batch, left) => this.#publish(batch, left),
			},
			deadlineMs,
		)
		const wake = (): void => this.#outbox.wake()
		this.#undo = [
			bus.onResume(wake),
			bus.onLost(() => this.#inbox.lost()),
			bus.onRestored(() => this.#inbox.restored()),
		]
		void this.#listenForDirect()
	}

	/** The counters, as a new plain object. */
	counters(): RedisLogCounters {
		return { published: this.#published, ...this.#inbox.counters, outbox: this.#outbox.size }
	}

	append(channel: string, payload: string, except = ''): Promise<LogPosition> {
		return this.#outbox.send({ channel, payload, except })
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
		this.#outbox.close()
		this.#onClose()
	}

	/** Where the log stands after now. Channels that are subscribed in one turn share it: there may be thousands. */
	async #readHead(): Promise<LogPosition> {
		for (;;) {
			await nextTurn()
			this.#nextHead = undefined
			try {
				const { head } = await this.#read([], 1)
				this.#outage.over()
				return head
			} catch (error) {
				if (this.#closed) throw new EvClosedError('The log')
				if (!(error instanceof EvUnavailableError)) throw error
				this.#outage.report(error)
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

	async #publish(batch: readonly Outgoing[], deadlineMs: number): Promise<LogPosition> {
		const names = this.#names
		const batchNumber = ++this.#batch
		const numbers = new Map<string, number>()
		const channels: (string | number)[] = []
		const messages: (string | number)[] = []
		let keep = KEEP
		for (const { channel, payload, except } of batch) {
			let index = numbers.get(channel)
			if (index === undefined) {
				index = numbers.size + 1
				numbers.set(channel, index)
				const { size, ttl } = this.#retention(channel)
				keep = Math.max(keep, 2 * ttl)
				channels.push(channel, names.published(names.messageChannel(channel)), size, Math.ceil(ttl))
			}
			messages.push(index, payload.length, except.length, except, payload)
		}
		const reply = await this.#commands
			.run(
				(client) =>
					runScript(
						client,
						PUBLISH,
						[
							names.log,
							names.channels,
							names.producer(this.#producer),
							...[...numbers.keys()].map((name) => names.channel(name)),
						],
						[batchNumber, newEpoch(), keep, numbers.size, ...channels, ...messages],
					),
				deadlineMs,
			)
			.catch(rethrow)
		const [epoch, first] = String(reply).split(' ')
		if (epoch === undefined || first === undefined)
			throw new EvUnavailableError('Redis gave something that is no position.')
		this.#published += batch.length
		return { epoch, seq: Number(first) }
	}

	async #read(channels: readonly { name: string; from: ReadFrom }[], limit: number): Promise<LogRead> {
		const names = this.#names
		const reply = await this.#commands
			.run((client) =>
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

	#retention(channel: string): LogRetention {
		const { resumable, retention } = this.#options
		const { size, ttl } = retention(channel)
		// A channel that keeps nothing for clients still keeps enough to mend a lost connection.
		if (!resumable || size === 0) return REPAIR
		return { size: Math.min(size, MOST), ttl: Math.min(ttl, LONGEST) }
	}
}

/** Used if an epoch has to begin. */
function newEpoch(): string {
	return randomUUID().replaceAll('-', '').slice(0, 12)
}

function rethrow(cause: unknown): never {
	if (cause instanceof Error && Reflect.get(cause, 'code') === 'EV_CLOSED')
		throw new EvClosedError('The Redis adapter')
	throw new EvUnavailableError(
		`Redis did not take a command: ${cause instanceof Error ? cause.message : String(cause)}`,
		{ cause },
	)
}

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
import type { RedisBus } from '@evstream/pubsub'
import { outsideContext } from './context.js'
import { ErrorReport } from './error-report.js'
import { Inbox } from './inbox.js'
import type { RedisNames } from './keys.js'
import { readPage } from './log-reader.js'
import type { LogReads, ReadBudget, ReadLane } from './log-reads.js'
import { KEEP as KEEP_SCRIPT, LOG_SCRIPTS, PUBLISH } from './log-scripts.js'
import { Outbox, type Outgoing } from './outbox.js'
import { publishedEntries } from './published-entries.js'
import { type LogRead, parseRead, type ReadFrom, type ReadLog, type ReadRequest } from './read-reply.js'
import { READ } from './read-script.js'
import { defineScripts, runScript } from './script.js'
import { Verification } from './verification.js'

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
/** How often a read opens the log before it gives up. */
const OPENINGS = 3

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
	readonly #reads: LogReads
	readonly #inbox: Inbox
	readonly #verification: Verification
	/** Failed reads that will be tried again. */
	readonly #report: ErrorReport
	readonly #outbox: Outbox
	readonly #producer = randomUUID()
	readonly #undo: (() => void)[]
	/** What ends the subscription of each channel. */
	readonly #subscriptions = new Map<string, Promise<() => void>>()
	/** A read of the head that was not sent yet. */
	#nextHead: Promise<LogPosition> | undefined
	/** The log knows what this instance needs. */
	#kept = false
	#batch = 0
	#published = 0
	#closed = false

	constructor(
		bus: RedisBus,
		names: RedisNames,
		receiver: LogReceiver,
		options: LogOptions,
		deadlineMs: number,
		reads: LogReads,
		onClose: () => void,
	) {
		this.#bus = bus
		this.#names = names
		this.#receiver = receiver
		this.#options = options
		this.#deadline = deadlineMs
		this.#reads = reads
		this.#onClose = onClose
		defineScripts(bus.client, LOG_SCRIPTS)
		this.#report = new ErrorReport((error) => receiver.error(error))
		const failed = (error: unknown): void => this.#report.failed(error)
		this.#inbox = new Inbox(receiver, {
			read: this.#reader('repair'),
			ttl: (name) => this.#keptFor(name),
			failed,
		})
		this.#verification = new Verification(this.#inbox, {
			keep: (lowest) => this.#keep(lowest),
			read: this.#reader('watch'),
			failed,
		})
		this.#outbox = new Outbox(
			{
				ready: () => bus.client.status === 'ready',
				publish: (batch, left) => this.#publish(batch, left),
			},
			deadlineMs,
		)
		const wake = (): void => this.#outbox.wake()
		bus.client.on('ready', wake)
		this.#undo = [
			() => bus.client.off('ready', wake),
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
		return outsideContext(() =>
			readPage(this.#reader('replay'), channels, start, (name) => this.#keptFor(name)),
		)
	}

	/** Compares what was delivered with the log, as it does by itself every minute. */
	verify(): Promise<void> {
		return outsideContext(() => this.#verification.run())
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
		this.#verification.close()
		this.#inbox.close()
		this.#outbox.close()
		this.#onClose()
	}

	/** Where the log stands after now. Channels that are subscribed in one turn share it: there may be thousands. */
	async #readHead(): Promise<LogPosition> {
		const read = this.#reader('watch')
		for (;;) {
			await nextTurn()
			this.#nextHead = undefined
			try {
				const { head } = await read({ channels: [] })
				await this.#keepFirst(head.seq)
				return head
			} catch (error) {
				if (this.#closed) throw new EvClosedError('The log')
				if (!(error instanceof EvUnavailableError)) throw error
				this.#report.failed(error)
				await sleep(RETRY, undefined, { ref: false })
			}
		}
	}

	/** Before the first channel is certain the log knows that this instance needs what comes after. */
	async #keepFirst(seq: number): Promise<void> {
		if (this.#kept) return
		this.#kept = true
		await this.#keep(seq).catch((error: unknown) => this.#report.failed(error))
		this.#verification.start()
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
		const reply = await this.#bus
			.command(
				(client) =>
					runScript(
						client,
						PUBLISH,
						[
							names.log,
							names.channels,
							names.producer(this.#producer),
							names.instances,
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

	#reader(lane: ReadLane): ReadLog {
		return (request) => this.#reads.run(lane, (budget) => this.#read(request, budget))
	}

	async #read(request: ReadRequest, budget: ReadBudget): Promise<LogRead> {
		const { channels } = request
		for (let opening = 0; opening < OPENINGS; opening++) {
			const reply = await this.#bus.command((client) => this.#runRead(client, request, budget)).catch(rethrow)
			const read = parseRead(
				reply,
				channels.map(({ name }) => name),
			)
			if (read !== undefined) {
				this.#report.worked()
				return read
			}
			// There is no log yet, or another server has to begin an epoch: a read does not write.
			await this.#keep(undefined)
		}
		throw new EvUnavailableError('Redis has no log after it was opened.')
	}

	#runRead(
		client: RedisBus['client'],
		request: ReadRequest,
		{ entries, bytes }: ReadBudget,
	): Promise<unknown> {
		const { channels, bound, maxBytes = bytes } = request
		const names = this.#names
		const { epoch = '', seq = 0 } = this.#inbox.known ?? {}
		return runScript(
			client,
			READ,
			[names.log, names.channels, ...channels.map(({ name }) => names.channel(name))],
			[
				epoch,
				seq,
				'0',
				entries,
				Math.min(bytes, maxBytes),
				bound ?? '',
				Buffer.byteLength(names.published(names.channel(''))),
				channels.map(({ from, ttl = 0 }) => `${formatFrom(from)} ${Math.ceil(ttl)} `).join(''),
			],
		)
	}

	/** Keeps the log, and from forgetting what lies above `lowest`. `undefined`: what it said before stays. */
	async #keep(lowest: number | undefined): Promise<void> {
		const names = this.#names
		await this.#bus
			.command((client) =>
				runScript(
					client,
					KEEP_SCRIPT,
					[names.log, names.channels, names.instances],
					[newEpoch(), KEEP, this.#options.instance, lowest ?? ''],
				),
			)
			.catch(rethrow)
	}

	/** How long a channel is kept for clients, in ms; `undefined` if it is not. */
	#keptFor(channel: string): number | undefined {
		const { resumable, retention } = this.#options
		const { size, ttl } = retention(channel)
		if (!resumable || size === 0) return resumable ? undefined : 0
		// One that is kept for ever has no oldest entry.
		return ttl < LONGEST ? ttl : 0
	}

	#retention(channel: string): LogRetention {
		const { resumable, retention } = this.#options
		const { size, ttl } = retention(channel)
		// A channel that keeps nothing for clients still keeps enough to mend a lost connection.
		if (!resumable || size === 0) return REPAIR
		return { size: Math.min(size, MOST), ttl: Math.min(ttl, LONGEST) }
	}
}

function formatFrom(from: ReadFrom): string {
	return typeof from === 'number' ? `${from}` : `last:${from.last}:${from.below ?? ''}`
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

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
import { Outage, type RedisBus } from '@evstream/pubsub'
import { outsideContext } from './context.js'
import { Inbox } from './inbox.js'
import { KEEP } from './keep-script.js'
import type { RedisNames } from './keys.js'
import { LogCommandError, LogCommands } from './log-commands.js'
import { LogKeeper } from './log-keeper.js'
import { LogPublisher } from './log-publisher.js'
import { readPage } from './log-reader.js'
import type { LogReads, ReadBudget, ReadLane } from './log-reads.js'
import { PUBLISH } from './publish-script.js'
import { publishedEntries } from './published-entries.js'
import { type LogRead, parseRead, type ReadFrom, type ReadLog, type ReadRequest } from './read-reply.js'
import { READ } from './read-script.js'
import { Verification } from './verification.js'

/** How long it waits after a failed read before it tries again, in ms. */
const RETRY = 250
/** How often a read lets an epoch begin before it gives up. */
const BEGINNINGS = 3
/** What is kept longer, in ms, has no oldest entry. */
const LONGEST = 1e13

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
	readonly #outage: Outage
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
		this.#outage = new Outage((error) => receiver.error(error))
		const failed = (error: unknown): void => this.#outage.report(error)
		this.#commands = new LogCommands(bus, [PUBLISH, KEEP, READ], failed)
		this.#inbox = new Inbox(receiver, {
			read: this.#reader('repair'),
			ttl: (name) => this.#keptFor(name),
			failed,
			wentBack: (epoch) => this.#commands.head.distrust(epoch),
		})
		this.#verification = new Verification(this.#inbox, { read: this.#reader('watch'), failed })
		this.#keeper = new LogKeeper(
			names,
			this.#commands,
			options,
			deadlineMs,
			() => this.#verification.lowest,
			(error) => receiver.error(error),
		)
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
		const subscription = this.#bus.subscribe(this.#names.messageChannel(channel), (published) => {
			// When a channel was given up and subscribed again, both handlers are called for a moment.
			if (this.#subscriptions.get(channel) === subscription) this.#receive(channel, published)
		})
		this.#subscriptions.set(channel, subscription)
		await subscription
		this.#nextHead ??= this.#readHead()
		const head = await this.#nextHead
		if (this.#subscriptions.get(channel) !== subscription) throw new EvClosedError('The subscription')
		const isFirst = !this.#inbox.isUsed
		const position = this.#inbox.opened(channel, head)
		this.#keeper.use(channel)
		this.#keeper.start()
		this.#verification.start()
		// Before the first channel is certain the log knows that this instance needs what comes after.
		// The keeper tells what Redis refuses, and tries again.
		if (isFirst) await this.#keeper.renew().catch(() => {})
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
		return outsideContext(() =>
			readPage(this.#reader('replay'), channels, start, (name) => this.#keptFor(name)),
		)
	}

	/** Compares what was delivered with the log, as it does by itself every minute. */
	async verify(): Promise<void> {
		await outsideContext(async () => {
			await this.#keeper.renew()
			await this.#verification.run()
		})
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
		this.#verification.close()
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
				return (await this.#reader('watch')({ channels: [] })).head
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

	#reader(lane: ReadLane): ReadLog {
		return (request) => this.#reads.run(lane, (budget) => this.#read(request, budget))
	}

	async #read(request: ReadRequest, budget: ReadBudget): Promise<LogRead> {
		for (let beginning = 1; ; beginning++) {
			try {
				const read = await this.#readOnce(request, budget)
				this.#commands.head.note(read.head.epoch, read.head.seq)
				this.#outage.over()
				return read
			} catch (error) {
				const begins = error instanceof LogCommandError && error.answer === 'EVBEGIN'
				if (!begins || beginning === BEGINNINGS) throw error
				// Reading never writes, so an epoch is begun by the keeper.
				await this.#keeper.keep()
			}
		}
	}

	async #readOnce(request: ReadRequest, { entries, bytes }: ReadBudget): Promise<LogRead> {
		const { channels, bound = '', maxBytes = bytes } = request
		const names = this.#names
		const keys = [names.log, names.channels, ...channels.map(({ name }) => names.channel(name))]
		const from = channels.map(({ from, ttl = 0 }) => `${formatFrom(from)} ${Math.ceil(ttl)} `).join('')
		const prefix = Buffer.byteLength(names.published(names.channel('')))
		const args = [entries, Math.min(bytes, maxBytes), bound, prefix, from]
		return parseRead(
			await this.#commands.run(READ, keys, () => args, this.#deadline),
			channels.map(({ name }) => name),
		)
	}

	/** How long a channel is kept for clients, in ms, 0 for ever or as others say; `undefined` if it is not. */
	#keptFor(channel: string): number | undefined {
		const { resumable, retention } = this.#options
		if (!resumable) return 0
		const { size, ttl, maxBytes } = retention(channel)
		if (size === 0 || maxBytes === 0) return undefined
		return ttl < LONGEST ? ttl : 0
	}
}

function formatFrom(from: ReadFrom): string {
	return typeof from === 'number' ? `${from}` : `last:${from.last}:${from.below ?? ''}`
}

function unavailable(cause: unknown): Error {
	if (cause instanceof Error && Reflect.get(cause, 'code') === 'EV_CLOSED')
		return new EvClosedError('The Redis adapter')
	const message = cause instanceof Error ? cause.message : String(cause)
	return new EvUnavailableError(`Redis did not take a command: ${message}`, { cause })
}

import { randomUUID } from 'node:crypto'
import { EvUnavailableError, safeOnError } from '@evstream/core'
import type { Cluster, Redis } from 'ioredis'
import { Callbacks } from './callbacks.js'
import { checkMs } from './check-ms.js'
import { onClient } from './client-events.js'
import type { CommandLane } from './command-lane.js'
import { CommandQueue } from './command-queue.js'
import { type Connections, closeConnection, connectTo, databaseOf, type RedisSource } from './connections.js'
import { keepContext, outsideContext } from './context.js'
import { Outage } from './outage.js'
import { publish } from './publish.js'
import { type Probe, Subscriber } from './subscriber.js'
import { WriteCheck } from './write-check.js'

/** Options of {@link RedisBus}. */
export interface RedisBusOptions {
	/**
	 * Gets what no caller can be told: connection errors (each distinct one once per outage), a subscriber that
	 * had to be replaced, handlers that throw. Default: a process warning.
	 */
	onError?: ((error: unknown) => void) | undefined
	/**
	 * The liveness probe; `false` turns it off. `interval`: ms between two probes, default 4000. `timeout`: ms
	 * until an answer is overdue and the connection is replaced, default 4000. A half-open subscriber is thus
	 * replaced within the sum of both.
	 */
	probe?: { interval?: number | undefined; timeout?: number | undefined } | false | undefined
	/** Begins the name of the connections (`CLIENT LIST`) and of the probe's channel. Default `evstream`. */
	name?: string | undefined
	/** Milliseconds `publish` and `command` may take unless the call says otherwise. Default 5000. */
	deadline?: number | undefined
	/**
	 * How many commands may be without an answer at a time; one more is refused at once. {@link RedisBus.commands} makes
	 * users of the bus with a limit of their own. Default 10,000.
	 */
	maxPending?: number | undefined
}

/** Commands of one user of a {@link RedisBus}, with a limit of their own. See {@link RedisBus.commands}. */
export interface RedisCommands {
	/** How many of them have no answer yet. */
	readonly pending: number
	/** As {@link RedisBus.command}. */
	run<T>(command: (client: Redis | Cluster) => Promise<T>, deadlineMs?: number): Promise<T>
}

/** Counters of a {@link RedisBus}. */
export interface RedisBusStats {
	/** Channels with at least one handler. */
	readonly channels: number
	/** How often the subscriber was lost and came back. */
	readonly reconnects: number
	/** How long the last probe took, in ms; 0 before the first one. */
	readonly probeRoundTripMs: number
	/** Commands without an answer, sent or waiting for Redis to come back. */
	readonly pending: number
}

// How long commands that were sent may still be answered when the bus closes, in ms.
const CLOSE_GRACE_MS = 1000
// Commands of the bus itself: a probe, and a look whether Redis takes writes.
const PROBES = 4

/**
 * Redis Pub/Sub on two connections, one for commands and one that subscribes, for those who build an adapter.
 *
 * Delivery is at most once, as Pub/Sub is. What the bus adds is that a hole never goes unnoticed: a lost
 * connection, also one that only looks alive, is replaced, and {@link RedisBus.onRestored} says that every channel
 * is subscribed again and that whatever came in between was missed.
 */
export class RedisBus {
	/**
	 * The connection for commands. One that the bus made reconnects for ever and takes no blocking commands: it is
	 * replaced when an answer is overdue. What is called on it directly fails as soon as its connection breaks or cannot
	 * be made; use {@link RedisBus.command} for what is worth another attempt.
	 */
	readonly client: Redis | Cluster
	/** The client's key prefix, `''` without one. It stands before every channel name too: ioredis does not do that. */
	readonly keyPrefix: string
	/**
	 * The number of the database. Pub/Sub crosses databases and keys do not: names of channels that belong to keys must
	 * carry it. 0 for a Cluster.
	 */
	readonly database: number
	/**
	 * `true` if the client may send a command by itself after its connection broke, even one that was refused at its
	 * deadline: one that was passed in, unless both `autoResendUnfulfilledCommands` and `enableOfflineQueue` are `false`,
	 * and a Cluster. A command of such a bus must be harmless at whatever time it arrives.
	 */
	readonly resends: boolean

	readonly #connections: Connections
	readonly #queue: CommandQueue
	readonly #commands: RedisCommands
	readonly #probes: RedisCommands
	readonly #writes: WriteCheck
	readonly #resumed: Callbacks
	readonly #undo: (() => void)[]
	readonly #subscriber: Subscriber
	readonly #outage: Outage
	readonly #deadline: number
	readonly #report: (error: unknown) => void
	readonly #lost: Callbacks
	readonly #restored: Callbacks
	#closing: Promise<void> | undefined

	/**
	 * @param source Where to connect; `redis://127.0.0.1:6379` by default. An existing client is used for commands
	 * and never closed; the subscriber is a connection of its own with the same options.
	 * @throws RangeError for a time that is not above 0 and below 2^31 ms, or a limit that is not above 0.
	 * @throws TypeError for a client with `enableAutoPipelining` and `autoResendUnfulfilledCommands: false`, but without
	 * `maxRetriesPerRequest: 0`: ioredis would answer nothing after a lost connection.
	 */
	constructor(source: RedisSource = {}, options: RedisBusOptions = {}) {
		const { probe = {}, name = 'evstream', deadline = 5000, maxPending = 10_000 } = options
		const { interval = 4000, timeout = 4000 } = probe || {}
		for (const [key, ms] of Object.entries({ interval, timeout, deadline })) checkMs(key, ms)
		if (!(maxPending > 0)) throw new RangeError(`maxPending must be above 0, not ${maxPending}`)
		const { onError } = options
		this.#report = safeOnError(onError && keepContext(onError))
		this.#deadline = deadline
		this.#lost = new Callbacks(this.#report)
		this.#restored = new Callbacks(this.#report)
		this.#resumed = new Callbacks(this.#report)
		this.#outage = new Outage(this.#report)
		this.#connections = connectTo(source, name, timeout)
		const { client, owned, resends } = this.#connections
		this.client = client
		this.keyPrefix = client.options.keyPrefix ?? ''
		this.database = databaseOf(client)
		this.resends = resends
		this.#writes = new WriteCheck(
			() => this.#probes.run((redis) => redis.set(`${name}:writable`, '', 'PX', 1, 'XX'), timeout),
			interval,
			this.#report,
		)
		this.#queue = new CommandQueue(this.#connections, {
			onError: this.#writes.failed,
			onSilence: () => this.#tellSilence(),
			onResume: this.#resumed.call,
		})
		this.#commands = this.commands({ limit: maxPending })
		this.#probes = this.commands({ limit: PROBES })
		this.#undo = [onClient(client, 'ready', this.#outage.over)]
		// Without onError, a client that was passed in keeps telling its errors as if the bus were not there.
		if (owned || onError) this.#undo.push(onClient(client, 'error', this.#outage.report))
		this.#subscriber = new Subscriber({
			open: this.#connections.openSubscriber,
			timeout,
			probe: probe
				? this.#probe(`${this.keyPrefix}${name}:${this.database}:probe:${randomUUID()}`, interval, timeout)
				: undefined,
			onError: this.#report,
			onLost: this.#lost.call,
			onRestored: this.#restored.call,
		})
	}

	/**
	 * `true` while commands are answered, Redis does not refuse all writes, and every channel is confirmed by a subscriber
	 * that answers its probes.
	 */
	get healthy(): boolean {
		const { isReady, isSilent } = this.#queue.link
		return isReady && !isSilent && !this.#writes.isRefused && this.#subscriber.isUp
	}

	/** `true` while a command would have to wait for Redis. Not once everything is refused because it was closed. */
	get waits(): boolean {
		return !this.#queue.isClosed && !this.#queue.link.isReady
	}

	/** A number that rises with each connection of the client that becomes ready: another one may be another server. */
	get connection(): number {
		return this.#queue.link.connection
	}

	/** The counters, as a new plain object. */
	stats(): RedisBusStats {
		const { channels, reconnects, probeRoundTripMs } = this.#subscriber
		return { channels, reconnects, probeRoundTripMs, pending: this.#queue.pending }
	}

	/**
	 * Calls the handler with every payload published to the channel. Handlers are counted: the first one
	 * subscribes, the last one's undo unsubscribes. Resolves with the undo (idempotent) once Redis confirmed the
	 * channel; while Redis is away that means once it is back. The handler runs on the connection's read path:
	 * keep it short. It runs in the AsyncLocalStorage context of this call. Ignoring the promise is safe.
	 *
	 * @throws EvClosedError `EV_CLOSED` if the bus is, or gets, closed.
	 * @throws ReplyError if Redis refuses the channel, for example for want of permission.
	 */
	subscribe(channel: string, handler: (payload: string) => void): Promise<() => void> {
		return ignorable(this.#subscriber.subscribe(this.keyPrefix + channel, handler))
	}

	/**
	 * Publishes and resolves once Redis took it, which says nothing about receivers. Payloads of one channel keep
	 * their order. One whose answer was lost with its connection is sent again within its deadline, so it may arrive
	 * twice. Ignoring the promise is safe.
	 *
	 * @param deadlineMs Milliseconds, default the `deadline` option.
	 * @throws EvUnavailableError `EV_UNAVAILABLE` after the deadline. If Redis was away all the time it was not
	 * and will not be published; if only the answer is missing it may have been.
	 * @throws EvClosedError `EV_CLOSED` if the bus is, or gets, closed.
	 * @throws RangeError for a deadline that is not above 0 and below 2^31 ms.
	 */
	publish(channel: string, payload: string, deadlineMs?: number): Promise<void> {
		const send = (client: Redis | Cluster): Promise<void> =>
			publish(client, this.keyPrefix + channel, payload)
		// ioredis arms timers of the connection while it sends.
		return outsideContext(() => this.command(send, deadlineMs))
	}

	/**
	 * Runs a command with a deadline. While Redis is away it waits, in order, without being sent. If the connection
	 * breaks before the answer it is run again, and on a READONLY answer, as after a failover, too if the connection is
	 * the bus's own; never after its deadline. It always runs in the AsyncLocalStorage context of this call. Ignoring the
	 * promise is safe.
	 *
	 * @param deadlineMs Milliseconds, default the `deadline` option.
	 * @throws EvUnavailableError `EV_UNAVAILABLE` after the deadline, or when too many wait.
	 * @throws EvClosedError `EV_CLOSED` if the bus or its client is, or gets, closed.
	 * @throws RangeError for a deadline that is not above 0 and below 2^31 ms.
	 * @throws ReplyError as Redis gave it; and whatever `run` throws.
	 */
	command<T>(run: (client: Redis | Cluster) => Promise<T>, deadlineMs?: number): Promise<T> {
		return this.#commands.run(run, deadlineMs)
	}

	/**
	 * Commands of one user of the bus, in their own order and with their own limit, so that nobody else's commands make
	 * them be refused.
	 *
	 * @throws RangeError unless `limit`, the number that may be without an answer at a time, is above 0.
	 */
	commands({ limit }: { limit: number }): RedisCommands {
		if (!(limit > 0)) throw new RangeError(`limit must be above 0, not ${limit}`)
		const lane: CommandLane = this.#queue.lane(limit)
		return {
			get pending() {
				return lane.pending
			},
			run: (command, deadlineMs = this.#deadline) =>
				ignorable(lane.run(() => command(this.client), deadlineMs)),
		}
	}

	/**
	 * Calls back each time commands need not wait any more: the connection is ready, or everything was closed and is
	 * refused at once. Returns the undo.
	 */
	onResume(callback: () => void): () => void {
		return this.#resumed.add(callback)
	}

	/** Calls back each time the subscriber was lost, so that messages may be missed from now on. Returns the undo. */
	onLost(callback: () => void): () => void {
		return this.#lost.add(callback)
	}

	/**
	 * Calls back each time all channels are confirmed again after the subscriber was lost: whatever came in between
	 * was missed. Returns the undo.
	 */
	onRestored(callback: () => void): () => void {
		return this.#restored.add(callback)
	}

	/**
	 * Closes the connections the bus made. Commands that were sent get a second to be answered, others are refused with
	 * `EV_CLOSED` at once. Idempotent.
	 */
	close(): Promise<void> {
		this.#closing ??= this.#close()
		return this.#closing
	}

	async #close(): Promise<void> {
		const { client, owned } = this.#connections
		this.#lost.clear()
		this.#restored.clear()
		this.#writes.close()
		await Promise.all([this.#subscriber.close(), this.#queue.close(CLOSE_GRACE_MS)])
		this.#resumed.clear()
		if (owned) await closeConnection(client)
		for (const undo of this.#undo) undo()
	}

	#probe(channel: string, interval: number, timeout: number): Probe {
		let taken = true
		return {
			interval,
			channel,
			// While commands do not go through, a missing echo would prove nothing.
			ready: () => this.#queue.link.isReady,
			send: (token) => {
				taken = false
				this.#probes
					.run((client) => publish(client, channel, token), timeout)
					.then(
						() => {
							taken = true
						},
						(error: unknown) => {
							// Redis answered: it will not let the next one through either.
							if (error instanceof Error && error.name === 'ReplyError') this.#outage.report(error)
						},
					)
			},
			taken: () => taken,
		}
	}

	#tellSilence(): void {
		const { owned, answerTimeout } = this.#connections
		const what = `Redis answered nothing for ${answerTimeout} ms`
		this.#outage.report(
			new EvUnavailableError(
				owned
					? `${what}; connecting again.`
					: `${what} on the client that was passed in. If its connection is half-open, only its socketTimeout ends it.`,
			),
		)
	}
}

/** The same promise; but if nobody looks at it, its rejection is not unhandled. */
function ignorable<T>(promise: Promise<T>): Promise<T> {
	promise.catch(() => {})
	return promise
}

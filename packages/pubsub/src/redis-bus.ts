import { randomUUID } from 'node:crypto'
import type { Cluster, Redis } from 'ioredis'
import { Callbacks } from './callbacks.js'
import { checkMs } from './check-ms.js'
import { CommandQueue } from './command-queue.js'
import { type Connections, closeConnection, connectTo, isCluster, type RedisSource } from './connections.js'
import { keepContext, outsideContext } from './context.js'
import { Outage } from './outage.js'
import { publish } from './publish.js'
import { type Probe, Subscriber } from './subscriber.js'
import { warn } from './warn.js'

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
	/** How many commands may be without an answer at a time; one more is refused at once. Default 10,000. */
	maxPending?: number | undefined
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

/**
 * Redis Pub/Sub on two connections, one for commands and one that subscribes, for those who build an adapter.
 *
 * Delivery is at most once, as Pub/Sub is. What the bus adds is that a hole never goes unnoticed: a lost
 * connection, also one that only looks alive, is replaced, and {@link RedisBus.onRestored} says that every channel
 * is subscribed again and that whatever came in between was missed.
 */
export class RedisBus {
	/**
	 * The connection for commands. One that the bus made retries for ever and takes no blocking commands: it is
	 * replaced when an answer is overdue. What is called on it directly waits without a bound while Redis is away
	 * (use {@link RedisBus.command} for a deadline) and may be sent twice if the connection breaks.
	 */
	readonly client: Redis | Cluster
	/** The client's key prefix, `''` without one. It stands before every channel name too: ioredis does not do that. */
	readonly keyPrefix: string

	readonly #connections: Connections
	readonly #commands: CommandQueue
	readonly #subscriber: Subscriber
	readonly #outage: Outage
	readonly #deadline: number
	readonly #onError: (error: unknown) => void
	readonly #lost: Callbacks
	readonly #restored: Callbacks
	#connection = 0
	#closing: Promise<void> | undefined

	/**
	 * @param source Where to connect; `redis://127.0.0.1:6379` by default. An existing client is used for commands
	 * and never closed; the subscriber is a connection of its own with the same options.
	 * @throws RangeError for a time that is not above 0 and below 2^31 ms, or a limit that is not above 0.
	 */
	constructor(source: RedisSource = {}, options: RedisBusOptions = {}) {
		const { probe = {}, name = 'evstream', deadline = 5000, maxPending = 10_000 } = options
		const { interval = 4000, timeout = 4000 } = probe || {}
		for (const [key, ms] of Object.entries({ interval, timeout, deadline })) checkMs(key, ms)
		if (!(maxPending > 0)) throw new RangeError(`maxPending must be above 0, not ${maxPending}`)
		this.#onError = options.onError ? keepContext(options.onError) : warn
		this.#deadline = deadline
		this.#lost = new Callbacks(this.#report)
		this.#restored = new Callbacks(this.#report)
		this.#outage = new Outage(this.#report)
		this.#connections = connectTo(source, name, timeout)
		const { client, owned } = this.#connections
		this.client = client
		this.keyPrefix = client.options.keyPrefix ?? ''
		// Without onError, a client that was passed in keeps telling its errors as if the bus were not there.
		if (owned || options.onError) client.on('error', this.#outage.report)
		client.on('ready', this.#ready)
		this.#commands = new CommandQueue(client, owned, maxPending)
		this.#subscriber = new Subscriber({
			open: this.#connections.openSubscriber,
			timeout,
			probe: probe
				? this.#probe(`${this.keyPrefix}${name}:probe:${randomUUID()}`, interval, timeout)
				: undefined,
			onError: this.#report,
			onLost: this.#lost.call,
			onRestored: this.#restored.call,
		})
	}

	/** `true` while commands go through and every channel is confirmed by a subscriber that answers its probes. */
	get healthy(): boolean {
		return this.client.status === 'ready' && this.#subscriber.isUp
	}

	/** A number that rises with each connection of the command client that is ready. */
	get connection(): number {
		return this.#connection
	}

	/** `true` if the client may send a command again by itself: a Cluster, or a client that was passed in. */
	get resends(): boolean {
		const { client, owned } = this.#connections
		return isCluster(client) || (!owned && client.options.autoResendUnfulfilledCommands !== false)
	}

	/** The counters, as a new plain object. */
	stats(): RedisBusStats {
		const { channels, reconnects, probeRoundTripMs } = this.#subscriber
		return { channels, reconnects, probeRoundTripMs, pending: this.#commands.pending }
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
	 * their order. One whose answer was lost with its connection is sent again, so it may arrive twice. Ignoring
	 * the promise is safe.
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
	 * Runs a command with a deadline. While Redis is away it waits, in order, without being sent; on a READONLY
	 * answer, as after a failover, a connection of the bus's own reconnects and the command is run again.
	 * It always runs in the AsyncLocalStorage context of this call. Ignoring the promise is safe.
	 *
	 * @param deadlineMs Milliseconds, default the `deadline` option.
	 * @throws EvUnavailableError `EV_UNAVAILABLE` after the deadline, when too many wait, or when the client was
	 * closed for good.
	 * @throws EvClosedError `EV_CLOSED` if the bus is, or gets, closed.
	 * @throws RangeError for a deadline that is not above 0 and below 2^31 ms.
	 * @throws ReplyError as Redis gave it; and whatever `run` throws.
	 */
	command<T>(run: (client: Redis | Cluster) => Promise<T>, deadlineMs: number = this.#deadline): Promise<T> {
		return ignorable(this.#commands.run(() => run(this.client), deadlineMs))
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
	 * Closes the connections the bus made. Commands that were sent get a second to be answered, others are refused
	 * with `EV_CLOSED`. Idempotent.
	 */
	close(): Promise<void> {
		this.#closing ??= this.#close()
		return this.#closing
	}

	async #close(): Promise<void> {
		const { client, owned } = this.#connections
		this.#lost.clear()
		this.#restored.clear()
		client.off('ready', this.#ready)
		await Promise.all([this.#subscriber.close(), this.#commands.close(CLOSE_GRACE_MS)])
		if (owned) await closeConnection(client)
		else client.off('error', this.#outage.report)
	}

	#probe(channel: string, interval: number, timeout: number): Probe {
		let taken = true
		return {
			interval,
			channel,
			// While commands do not go through, a missing echo would prove nothing.
			ready: () => this.client.status === 'ready',
			send: (token) => {
				taken = false
				this.command((client) => publish(client, channel, token), timeout).then(
					() => {
						taken = true
					},
					() => {},
				)
			},
			failed: () => {
				if (!taken && this.#connections.owned) this.client.disconnect(true)
			},
		}
	}

	readonly #ready = (): void => {
		this.#connection++
		this.#outage.over()
	}

	readonly #report = (error: unknown): void => {
		try {
			this.#onError(error)
		} catch {
			// There is nobody left to tell.
		}
	}
}

/** The same promise; but if nobody looks at it, its rejection is not unhandled. */
function ignorable<T>(promise: Promise<T>): Promise<T> {
	promise.catch(() => {})
	return promise
}

import {
	type ChannelLog,
	type EvAdapter,
	type EvStateAdapter,
	type LogOptions,
	type LogReceiver,
	type StateStore,
	safeOnError,
} from '@evstream/core'
import { RedisBus, type RedisSource } from '@evstream/pubsub'
import { keepContext, outsideContext } from './context.js'
import { RedisNames } from './keys.js'
import { LogReads } from './log-reads.js'
import { RedisLog } from './redis-log.js'
import { RedisStateStore } from './redis-state-store.js'

/** Options of {@link EvRedisAdapter}. */
export interface EvRedisAdapterOptions {
	/**
	 * Begins every key and channel name, in braces. Instances with the same one share their states. No braces,
	 * spaces or control characters. Default `'evstream'`.
	 */
	namespace?: string | undefined
	/** How long one command may take, in ms, before it is tried again. Default 5000. */
	deadline?: number | undefined
	/**
	 * How a connection that only looks alive is found: a probe every `interval` ms (default 4000) must come back
	 * within `timeout` ms (default 4000). `false` turns it off.
	 */
	probe?: { interval?: number | undefined; timeout?: number | undefined } | false | undefined
	/**
	 * Told what nobody waits for: lost connections (each error once per outage), malformed data. Default: a
	 * process warning.
	 */
	onError?: ((error: unknown) => void) | undefined
}

/**
 * Connects instances through Redis: one connection for commands and one that subscribes, for any number of states.
 *
 * Nothing throws or rejects while Redis is away: states wait for it.
 */
export class EvRedisAdapter implements EvAdapter, EvStateAdapter {
	/** The store all instances share. */
	readonly states: StateStore
	readonly #states: RedisStateStore
	readonly #bus: RedisBus
	readonly #names: RedisNames
	readonly #deadline: number
	readonly #logs = new Set<RedisLog>()
	/** All logs of the adapter read in turn. */
	readonly #reads: LogReads

	/**
	 * @param source - Options of ioredis, a URL, or an existing client. A client that was passed in is used for
	 * commands and never closed. Default: `redis://127.0.0.1:6379`.
	 * @throws TypeError, RangeError if an option is not what it should be.
	 */
	constructor(source?: RedisSource, options: EvRedisAdapterOptions = {}) {
		const { namespace = 'evstream', deadline = 5000, probe } = options
		const { onError: report } = options
		if (report !== undefined && typeof report !== 'function') {
			throw new TypeError('onError must be a function.')
		}
		const onError = safeOnError(report && keepContext(report))
		// Checked before anything connects.
		const { tag } = new RedisNames(namespace, '')
		this.#bus = outsideContext(() => new RedisBus(source, { name: tag, onError, deadline, probe }))
		this.#names = new RedisNames(namespace, this.#bus.keyPrefix, this.#bus.database)
		this.#deadline = deadline
		this.#reads = new LogReads(deadline)
		this.#states = outsideContext(() => new RedisStateStore(this.#bus, this.#names, deadline, onError))
		this.states = this.#states
	}

	/** Opens the log that the channels of all instances share. Called by the manager that gets this adapter. */
	openLog(receiver: LogReceiver, options: LogOptions): ChannelLog {
		const onClose = (): void => void this.#logs.delete(log)
		const log = outsideContext(
			() => new RedisLog(this.#bus, this.#names, receiver, options, this.#deadline, this.#reads, onClose),
		)
		this.#logs.add(log)
		return log
	}

	/**
	 * `true` while commands are answered, Redis does not refuse all writes, and what is published is known to arrive.
	 */
	get healthy(): boolean {
		return this.#bus.healthy
	}

	/** Counters: subscribed channels, reconnects, the last probe's time in ms, commands without an answer. */
	stats(): Readonly<Record<string, number>> {
		const logs = { published: 0, received: 0, repairedHoles: 0, resets: 0, outbox: 0 }
		for (const log of this.#logs) {
			const counters = log.counters()
			logs.published += counters.published
			logs.received += counters.received
			logs.repairedHoles += counters.repairedHoles
			logs.resets += counters.resets
			logs.outbox += counters.outbox
		}
		return { ...this.#bus.stats(), ...logs }
	}

	/**
	 * Closes the connections it made. Close the managers and states first: what still waits is rejected at once with
	 * `EV_CLOSED`. Idempotent.
	 */
	close(): Promise<void> {
		const closed = this.#bus.close()
		this.#states.close()
		return closed
	}
}

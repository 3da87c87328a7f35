import { randomUUID } from 'node:crypto'
import { EvClosedError, safeOnError } from '@evstream/core'
import type { RedisSource } from './connections.js'
import { keepContext, outsideContext } from './context.js'
import { decode, encode } from './envelope.js'
import { RedisBus } from './redis-bus.js'

/** Options of {@link EvRedisPubSub}. */
export interface EvRedisPubSubOptions<T = unknown> {
	/**
	 * Names the Redis channel. It is the same on all instances that hear each other, which are those on the same database:
	 * on another one than 0 the channel is `<subject>:db<N>`.
	 */
	subject: string
	/** Connection options, a URL, or an existing client, which is never closed. Default `redis://127.0.0.1:6379`. */
	options?: RedisSource | undefined
	/** The message handler; {@link EvRedisPubSub.onMessage} sets it later. */
	onMessage?: ((message: T) => void) | undefined
	/**
	 * Gets what no caller can be told: connection errors (once per outage), payloads that are no message, a
	 * handler that throws, and every `send` that fails. Default: a process warning.
	 */
	onError?: ((error: unknown) => void) | undefined
}

/**
 * Sends JSON values to all other instances with the same subject; its own come not back to it.
 *
 * Delivery is at most once: an instance that is cut off misses what is sent meanwhile, and
 * {@link EvRedisPubSub.onRestored} tells it so.
 */
export class EvRedisPubSub<T = unknown> {
	/** Resolves once Redis confirmed the subscription; messages sent by others after that arrive. Ignoring it is safe. */
	readonly ready: Promise<void>

	readonly #bus: RedisBus
	readonly #channel: string
	readonly #id: string = randomUUID()
	readonly #report: (error: unknown) => void
	/** The last number of each sender: a message that was sent twice over a broken connection is heard once. */
	readonly #heard = new Map<string, number>()
	#handler: ((message: T) => void) | undefined
	#sent = 0
	#closed = false

	/** @throws TypeError if the subject is not a non-empty string, or for a client that {@link RedisBus} refuses. */
	constructor({ subject, options, onMessage, onError }: EvRedisPubSubOptions<T>) {
		if (typeof subject !== 'string' || subject === '')
			throw new TypeError('subject must be a non-empty string')
		if (onMessage) this.onMessage(onMessage)
		this.#report = safeOnError(onError && keepContext(onError))
		this.#bus = outsideContext(() => new RedisBus(options, { onError: this.#report }))
		// Pub/Sub crosses databases, and two apps on two of them must not hear each other.
		this.#channel = this.#bus.database === 0 ? subject : `${subject}:db${this.#bus.database}`
		this.ready = outsideContext(() => this.#subscribe())
	}

	/** `true` while messages are known to go out and to come in. */
	get healthy(): boolean {
		return this.#bus.healthy
	}

	/**
	 * Sends a message to the other instances. Resolves once Redis took it. While Redis is away it waits up to 5 s.
	 * A rejection is reported to `onError` too, so ignoring the promise is safe.
	 *
	 * @throws TypeError for a value JSON cannot carry: `undefined`, a function, a symbol, a BigInt, a cycle.
	 * @throws EvUnavailableError `EV_UNAVAILABLE` if Redis could not be reached in time.
	 * @throws EvClosedError `EV_CLOSED` after `close()`.
	 */
	send(message: T): Promise<void> {
		const sent = this.#send(message)
		sent.catch(this.#report)
		return sent
	}

	/** Sets the message handler, in place of the one before. It runs in the AsyncLocalStorage context of this call. */
	onMessage(callback: (message: T) => void): void {
		this.#handler = keepContext(callback)
	}

	/**
	 * Calls back each time the subscription works again after it was lost: what others sent meanwhile was missed.
	 * Returns the undo.
	 */
	onRestored(callback: () => void): () => void {
		return this.#bus.onRestored(callback)
	}

	/** Closes the connections it made. No message comes after it was called. Idempotent. */
	close(): Promise<void> {
		this.#closed = true
		return this.#bus.close()
	}

	#subscribe(): Promise<void> {
		const subscribed = this.#bus.subscribe(this.#channel, (payload) => this.#receive(payload))
		subscribed.catch((error: unknown) => {
			if (!this.#closed) this.#report(error)
		})
		const ready = subscribed.then(() => {})
		ready.catch(() => {})
		return ready
	}

	async #send(message: T): Promise<void> {
		if (this.#closed) throw new EvClosedError('The EvRedisPubSub')
		await this.#bus.publish(this.#channel, encode({ from: this.#id, seq: ++this.#sent, message }))
	}

	#receive(payload: string): unknown {
		const { from, seq, message } = decode(payload)
		if (from === this.#id || seq <= (this.#heard.get(from) ?? 0)) return undefined
		this.#remember(from, seq)
		// The senders share T by agreement; what they put on the wire cannot be checked here.
		return this.#handler?.(message as T)
	}

	#remember(from: string, seq: number): void {
		this.#heard.delete(from)
		this.#heard.set(from, seq)
		if (this.#heard.size <= 1000) return
		const [oldest] = this.#heard.keys()
		if (oldest !== undefined) this.#heard.delete(oldest)
	}
}

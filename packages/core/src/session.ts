import type { Gate } from './authentication.js'
import { Connection } from './connection.js'
import { EvInvalidMessageError, EvNotAuthenticatedError } from './errors.js'
import { encodeMessage, Frame } from './frame.js'
import type { ConnectionSettings } from './options.js'
import { lastEventIdOf } from './request.js'
import { Deadline, now, type Timers } from './timers.js'
import type { Transport, TransportOwner } from './transport.js'
import type { EvCloseReason, EvMessage, EvOnClose, EvSource } from './types.js'

/** What a manager adds to its sessions. */
export interface SessionHost {
	/** Ids are the host's to give: a message must not bring one. */
	readonly ownsIds: boolean
	/** Messages sent before, in this tick, must be written before what comes now. */
	flush(): void
	/** The channels the stream listens to, or listened to when it ended. */
	channelNames(): string[]
	/** The stream ended: it is to be forgotten. */
	ended(reason: EvCloseReason): void
	/** The response is over. */
	gone(): void
	/** A slow client has caught up after messages were left out. */
	recovered(): void
}

const STANDALONE: SessionHost = {
	ownsIds: false,
	flush() {},
	channelNames: () => [],
	ended() {},
	gone() {},
	recovered() {},
}

/**
 * What every kind of stream has: one client, who may have to authenticate, is written to, and leaves once. The
 * public streams are {@link "evstream".Evstream} and {@link "managed-stream".ManagedStream}.
 */
export class Session extends Connection {
	readonly #host: SessionHost
	readonly #gate: Gate | undefined
	#deadlines: Set<Deadline> | undefined
	#callbacks: EvOnClose[] | undefined
	#controller: AbortController | undefined

	constructor(
		gate: Gate | undefined,
		maxAge: number | undefined,
		settings: ConnectionSettings,
		timers: Timers,
		connect: (owner: TransportOwner) => Transport,
		host: SessionHost = STANDALONE,
	) {
		super(settings, timers, connect)
		this.#host = host
		this.#gate = gate
		if (gate === undefined) this.open()
		else this.lookIfOver()
		if (maxAge !== undefined && !this.closed) {
			// Random, so that clients that came together do not come back together.
			const age = maxAge * (0.8 + 0.2 * Math.random())
			this.#schedule(age, () => this.finish('max-age', null))
		}
	}

	get closed(): boolean {
		return this.closeReason !== undefined
	}

	get lastEventId(): string | undefined {
		return lastEventIdOf(this.request)
	}

	get signal(): AbortSignal {
		if (this.#controller === undefined) {
			this.#controller = new AbortController()
			if (this.closed) this.#controller.abort()
		}
		return this.#controller.signal
	}

	/** @throws EvNotAuthenticatedError */
	requireLetIn(action: string): void {
		if (!this.isOpen) throw new EvNotAuthenticatedError(action)
	}

	authenticate(): Promise<boolean | undefined> {
		const gate = this.#gate
		if (gate === undefined) return Promise.resolve(undefined)
		gate.answer ??= this.#authenticate(gate)
		return gate.answer
	}

	async #authenticate(gate: Gate): Promise<boolean> {
		if (this.closed) return false
		const verdict = await gate.judge()
		// The client may have left meanwhile.
		if (this.closed) return false
		if (verdict !== true) {
			this.reject(this.#frameOf(verdict))
			return false
		}
		this.open()
		if (this.closed) return false
		this.#revalidateLater(gate)
		return true
	}

	#revalidateLater(gate: Gate): void {
		const { revalidate } = gate
		if (revalidate === undefined) return
		const revalidated = async (): Promise<void> => {
			const verdict = await gate.judge()
			if (verdict !== true) this.finish('revoked')
			else if (!this.closed) this.#revalidateLater(gate)
		}
		this.#schedule(revalidate, () => void revalidated())
	}

	/** A message from `verify` that cannot be framed must not let anybody in, nor leave the client without an answer. */
	#frameOf(message: EvMessage): Frame {
		try {
			return new Frame(encodeMessage({ event: 'error', ...message }))
		} catch (error) {
			this.settings.onError(error)
			return new Frame(encodeMessage({ event: 'error', data: '' }))
		}
	}

	message(message: EvMessage): boolean {
		if (this.closed) return false
		if (!this.isOpen) throw new EvNotAuthenticatedError('send a message')
		if (this.#host.ownsIds && message.id !== undefined) {
			throw new EvInvalidMessageError(
				'With history ids are positions in the log: send the message without an id.',
			)
		}
		return this.say(new Frame(encodeMessage(message)))
	}

	/** Writes a frame in its place among what was sent before. `false`: not written, or the client is behind. */
	say(frame: Frame): boolean {
		if (!this.isOpen) return false
		this.#host.flush()
		return this.writePast(frame, now()) && !this.behind
	}

	async from(source: EvSource): Promise<boolean> {
		const iterator =
			Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
		let leave: (() => void) | undefined
		const forget = this.onClose(() => leave?.())
		let finished = false
		try {
			while (!this.closed) {
				// A promise for each step: one that lives as long as the stream would collect a reaction for each.
				const result = await new Promise<IteratorResult<EvMessage | string> | undefined>(
					(resolve, reject) => {
						leave = () => resolve(undefined)
						Promise.resolve(iterator.next()).then(resolve, reject)
					},
				)
				if (result === undefined) break
				if (result.done === true) {
					finished = true
					return true
				}
				const message = typeof result.value === 'string' ? { data: result.value } : result.value
				if (!this.message(message)) await this.drain()
			}
			return false
		} finally {
			forget()
			// A generator that waits for its own source ends when that source does; the stream does not wait for it.
			if (!finished) this.#release(iterator)
		}
	}

	#release(iterator: Iterator<unknown> | AsyncIterator<unknown>): void {
		try {
			Promise.resolve(iterator.return?.()).catch(this.settings.onError)
		} catch (error) {
			this.settings.onError(error)
		}
	}

	close(onClose?: EvOnClose): void {
		if (onClose !== undefined) this.onClose(onClose)
		this.finish('closed')
	}

	onClose(callback: EvOnClose): () => void {
		if (typeof callback !== 'function') throw new TypeError('onClose takes a function.')
		if (this.closed) {
			queueMicrotask(() => this.#call(callback))
			return () => {}
		}
		this.#callbacks ??= []
		this.#callbacks.push(callback)
		return () => {
			const at = this.#callbacks?.indexOf(callback) ?? -1
			if (at >= 0) this.#callbacks?.splice(at, 1)
		}
	}

	#schedule(delay: number, run: () => void): void {
		const deadline = new Deadline(() => {
			this.#deadlines?.delete(deadline)
			run()
			return undefined
		})
		this.#deadlines ??= new Set()
		this.#deadlines.add(deadline)
		this.timers.add(deadline, now() + delay)
	}

	#call(callback: EvOnClose): void {
		const reason = this.closeReason
		if (reason === undefined) return
		try {
			Promise.resolve(callback(this.#host.channelNames(), reason)).catch(this.settings.onError)
		} catch (error) {
			this.settings.onError(error)
		}
	}

	flush(): void {
		this.#host.flush()
	}

	protected ended(reason: EvCloseReason): void {
		this.#host.ended(reason)
		if (this.#deadlines !== undefined) for (const deadline of this.#deadlines) this.timers.remove(deadline)
		this.#deadlines = undefined
		const callbacks = this.#callbacks
		this.#callbacks = undefined
		if (callbacks !== undefined) for (const callback of callbacks) this.#call(callback)
		this.#controller?.abort()
	}

	protected left(): void {
		this.#host.gone()
	}

	protected recovered(): void {
		if (this.#host === STANDALONE) {
			this.writeCorked(new Frame(encodeMessage({ event: 'reset', data: { reason: 'slow' } })), now())
		} else this.#host.recovered()
	}
}

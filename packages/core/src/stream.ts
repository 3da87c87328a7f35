import type { Authenticator } from './authentication.js'
import { beginWork, callBack, endWork } from './callbacks.js'
import { ClientWriter, type WriterOwner } from './client-writer.js'
import { inItsContext } from './context.js'
import { EvNotAuthenticatedError } from './errors.js'
import { encodeComment, encodeMessage, Frame } from './frame.js'
import type { ConnectionSettings } from './options.js'
import { lastEventIdOf } from './request.js'
import { Deadline, now, type Timed, type Timers } from './timers.js'
import type { Transport, TransportOwner } from './transport.js'
import type { EvCloseReason, EvMessage, EvOnClose } from './types.js'

const COMMENT = new Frame(encodeComment(''))
const HEARTBEAT = new Frame(encodeMessage({ event: 'heartbeat', data: '' }))
/** Says that the stream is over. A stream that the client is to come back to ends without it. */
const END = new Frame(encodeMessage({ event: 'end', data: '' }))

/** A client that was sent away before it was let in comes back after 5 to 15 s. */
const RETRY_LEAST = 5_000
const RETRY_SPREAD = 10_000

/** What a stream is made with. */
export interface StreamSetup {
	readonly settings: ConnectionSettings
	readonly timers: Timers
	/** Stands before a stream that wants authentication. */
	readonly authenticator: Authenticator | undefined
	/** Makes the way to the client. */
	connect(owner: TransportOwner): Transport
}

/**
 * The life of one client's stream: lets the client in, keeps the line alive, and ends exactly once. What is written
 * goes through its {@link ClientWriter}. The public streams are {@link "evstream".Evstream}, which has one of these,
 * and {@link "managed-stream".ManagedStream}, which is one.
 */
export class Stream implements Timed, TransportOwner, WriterOwner {
	due = 0
	slot = -1
	readonly timers: Timers
	readonly writer: ClientWriter
	readonly #authenticator: Authenticator | undefined
	/** The head is out: the client was let in. */
	#isOpen = false
	#closeReason: EvCloseReason | undefined
	#responseClosed = false
	/** The client was cut off: what waited is gone. */
	#isCut = false
	#lastComment = 0
	#deadlines: Set<Deadline> | undefined
	#callbacks: EvOnClose[] | undefined
	#abort: AbortController | undefined

	constructor({ settings, timers, authenticator, connect }: StreamSetup) {
		this.timers = timers
		this.#authenticator = authenticator
		this.writer = new ClientWriter(connect(this), settings, this)
	}

	/** Begins: without authentication the head goes out now. Called once, when the stream is complete. */
	start(maxAge: number | undefined): void {
		if (this.#authenticator === undefined) this.#open()
		else this.#lookIfOver()
		if (maxAge === undefined || this.closed) return
		// Random, so that clients that came together do not come back together.
		this.#schedule(maxAge * (0.8 + 0.2 * Math.random()), () => this.end('max-age', null))
	}

	/** Why the stream ended, if it has. */
	get closeReason(): EvCloseReason | undefined {
		return this.#closeReason
	}

	/** The stream has ended. Its response may not be over yet. */
	get closed(): boolean {
		return this.#closeReason !== undefined
	}

	/** Bytes that wait for the client in this process, also after the end. */
	get waiting(): number {
		return this.#responseClosed || this.#isCut ? 0 : this.writer.transport.waiting
	}

	get lastEventId(): string | undefined {
		return lastEventIdOf(this.writer.transport.request)
	}

	get signal(): AbortSignal {
		if (this.#abort === undefined) {
			const controller = new AbortController()
			this.#abort = controller
			if (this.closed) controller.abort()
			else this.whenEnded(() => controller.abort())
		}
		return this.#abort.signal
	}

	/** @throws EvNotAuthenticatedError */
	requireLetIn(action: string): void {
		if (!this.#isOpen) throw new EvNotAuthenticatedError(action)
	}

	/** The first answer, for everybody who asks again. `undefined` without authentication. */
	admit(): Promise<boolean | undefined> {
		const authenticator = this.#authenticator
		if (authenticator === undefined) return Promise.resolve(undefined)
		authenticator.answer ??= this.#admit(authenticator)
		return authenticator.answer
	}

	/** Writes a message after what was sent before. `false`: not written, or the client is behind. */
	writeMessage(message: EvMessage): boolean {
		if (this.closed) return false
		return this.writeInOrder(this.frameOf(message)) && !this.writer.behind
	}

	/**
	 * Encodes a message for this client.
	 *
	 * @throws EvInvalidMessageError
	 * @throws EvNotAuthenticatedError
	 */
	frameOf(message: EvMessage): Frame {
		this.requireLetIn('send a message')
		return new Frame(encodeMessage(message))
	}

	/** Writes a frame after what was sent before. `false`: not written. */
	writeInOrder(frame: Frame): boolean {
		if (!this.#isOpen) return false
		// Flushing may end streams, whose callbacks may send: that comes after this frame.
		beginWork()
		try {
			this.flush()
			return this.writer.writeCorked(frame, now())
		} finally {
			endWork()
		}
	}

	/** Sends the event `end` and ends the stream. */
	endByApp(onClose?: EvOnClose): void {
		if (onClose !== undefined) this.whenEnded(onClose)
		this.end('closed')
	}

	/** Calls back once when the stream has ended; soon, if it has already. Returns its undo. */
	whenEnded(callback: EvOnClose): () => void {
		if (typeof callback !== 'function') throw new TypeError('onClose takes a function.')
		const inContext = inItsContext(callback)
		if (this.closed) {
			queueMicrotask(() => this.#call(inContext))
			return () => {}
		}
		this.#callbacks ??= []
		this.#callbacks.push(inContext)
		return () => {
			const at = this.#callbacks?.indexOf(inContext) ?? -1
			if (at >= 0) this.#callbacks?.splice(at, 1)
		}
	}

	/**
	 * Ends the stream: with a last frame (`null`: without one), or at once where waiting for the client is what must
	 * not be done. Its callbacks run once that is written.
	 */
	end(reason: EvCloseReason, last: Frame | null = END): void {
		if (this.closed) return
		beginWork()
		try {
			this.flush()
			// Flushing may have found the client slow.
			if (this.closed) return
			if (reason === 'closed' && this.#isOpen) this.#beatIfDue(now())
			const { transport } = this.writer
			this.#setEnded(reason)
			if (reason === 'slow' || reason === 'stalled' || reason === 'failed') this.destroy()
			else if (this.#isOpen) transport.end(last, reason === 'shutdown')
			else this.#turnAway(reason)
			// A client that never takes the rest must not hold the response open.
			if (!this.#responseClosed) this.writer.watch()
		} catch (error) {
			this.failed(error)
		} finally {
			endWork()
		}
	}

	/** Cuts off a response that was ended and whose client does not take the rest. */
	destroy(): void {
		this.#isCut = true
		try {
			this.writer.transport.destroy()
		} catch (error) {
			this.writer.settings.onError(error)
			this.responseClosed()
		}
	}

	tooSlow(reason: 'slow' | 'stalled'): void {
		this.end(reason)
	}

	/** Somebody replaced a method of the response, and it threw. Only this stream ends. */
	failed(error: unknown): void {
		const { onError } = this.writer.settings
		beginWork()
		try {
			callBack(() => onError(error))
			if (!this.closed) this.#setEnded('failed')
			this.destroy()
		} finally {
			endWork()
		}
	}

	responseClosed(): void {
		if (this.#responseClosed) return
		this.#responseClosed = true
		beginWork()
		try {
			if (!this.closed) this.#setEnded('disconnected')
			this.writer.unwatch()
			this.onResponseClosed()
		} finally {
			endWork()
		}
	}

	/** Channel messages of this tick go out first. */
	flush(): void {}

	recovered(): void {
		this.writer.writeCorked(new Frame(encodeMessage({ event: 'reset', data: { reason: 'slow' } })), now())
	}

	/** The channels it listens to; once it has ended, those it listened to then. */
	protected channelNames(): string[] {
		return []
	}

	/** The stream has ended. Called once, before any callback of the app. */
	protected onEnded(_reason: EvCloseReason): void {}

	/** The response is over too; for a cleanly ended one this is later. Called once. */
	protected onResponseClosed(): void {}

	onDue(time: number): number {
		const { heartbeat, keepAlive, stallTimeout } = this.writer.settings
		// Bytes that wait say that the client is slow, not that the line is silent; the stall deadline is for that.
		if (this.waiting > 0) {
			this.writer.watch()
			return time + (heartbeat ?? keepAlive ?? stallTimeout)
		}
		const { lastWrite } = this.writer
		if (heartbeat !== undefined && time >= lastWrite + heartbeat) this.writer.writeCorked(HEARTBEAT, time)
		else if (keepAlive !== undefined && time >= Math.max(lastWrite, this.#lastComment) + keepAlive) {
			this.writer.writeComment(COMMENT)
			this.#lastComment = time
		}
		return this.#nextDue(time)
	}

	/** Event callbacks find a response that had already ended silent, so this looks. */
	#lookIfOver(): void {
		if (this.writer.transport.over) this.responseClosed()
	}

	/** Sends the head; from here on frames can be written. */
	#open(): void {
		this.#lookIfOver()
		if (this.closed) return
		try {
			if (!this.writer.transport.open()) {
				if (!this.closed) this.#setEnded('disconnected')
				if (!this.#responseClosed) this.writer.watch()
				return
			}
		} catch (error) {
			this.failed(error)
			return
		}
		this.#isOpen = true
		const time = now()
		this.writer.lastWrite = time
		this.timers.add(this, this.#nextDue(time))
	}

	async #admit(authenticator: Authenticator): Promise<boolean> {
		if (this.closed) return false
		const verdict = await authenticator.judge()
		// The client may have left meanwhile.
		if (this.closed) return false
		if (verdict !== true) {
			this.#reject(this.#rejectionOf(verdict))
			return false
		}
		this.#open()
		if (this.closed) return false
		this.#revalidateLater(authenticator)
		return true
	}

	/** A message from `verify` that cannot be framed must not let anybody in, nor leave the client without an answer. */
	#rejectionOf(message: EvMessage): Frame {
		try {
			return new Frame(encodeMessage({ event: 'error', ...message }))
		} catch (error) {
			this.writer.settings.onError(error)
			return new Frame(encodeMessage({ event: 'error', data: '' }))
		}
	}

	#reject(body: Frame): void {
		beginWork()
		try {
			this.#setEnded('unauthenticated')
			// RFC 9110 §15.5.2 wants a challenge; this one opens no dialog in a browser.
			this.#answer(401, { 'WWW-Authenticate': 'Bearer' }, body)
			if (!this.#responseClosed) this.writer.watch()
		} finally {
			endWork()
		}
	}

	/** The stream ended before the client was let in. Unless the app wants no more of it, the client is to come back. */
	#turnAway(reason: EvCloseReason): void {
		if (reason === 'closed') {
			this.#answer(204, {}, undefined)
			return
		}
		const headers = { 'Evstream-Refused': reason, ...(reason === 'shutdown' ? { Connection: 'close' } : {}) }
		const retry = RETRY_LEAST + Math.floor(Math.random() * RETRY_SPREAD)
		// An EventSource gives up for good on any status but 200.
		this.#answer(200, headers, new Frame(`retry:${retry}\n\n`))
	}

	#answer(status: number, headers: Record<string, string>, body: Frame | undefined): void {
		try {
			this.writer.transport.answer({ status, headers: { 'Cache-Control': 'no-store', ...headers }, body })
		} catch (error) {
			this.failed(error)
		}
	}

	#revalidateLater(authenticator: Authenticator): void {
		const { revalidate } = authenticator
		if (revalidate === undefined) return
		const revalidated = async (): Promise<void> => {
			const verdict = await authenticator.judgeAgain(revalidate)
			if (verdict === 'late') this.end('revoked', null)
			else if (verdict !== true) this.end('revoked')
			else if (!this.closed) this.#revalidateLater(authenticator)
		}
		this.#schedule(revalidate, () => void revalidated())
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

	/** From here on nothing is written, and nobody finds the stream. Its callbacks run when the work that ends it is done. */
	#setEnded(reason: EvCloseReason): void {
		this.#closeReason = reason
		this.timers.remove(this)
		this.writer.end()
		this.onEnded(reason)
		if (this.#deadlines !== undefined) for (const deadline of this.#deadlines) this.timers.remove(deadline)
		this.#deadlines = undefined
		const callbacks = this.#callbacks
		this.#callbacks = undefined
		if (callbacks === undefined) return
		for (const callback of callbacks) callBack(() => this.#call(callback))
	}

	#call(callback: EvOnClose): void {
		const reason = this.#closeReason
		if (reason === undefined) return
		const { onError } = this.writer.settings
		try {
			Promise.resolve(callback(this.channelNames(), reason)).catch(onError)
		} catch (error) {
			onError(error)
		}
	}

	#nextDue(time: number): number {
		const { heartbeat, keepAlive, stallTimeout } = this.writer.settings
		const { lastWrite } = this.writer
		const beat = heartbeat === undefined ? Number.POSITIVE_INFINITY : lastWrite + heartbeat
		const comment =
			keepAlive === undefined ? Number.POSITIVE_INFINITY : Math.max(lastWrite, this.#lastComment) + keepAlive
		// Also without both: bytes may wait that are too few for the client to count as behind.
		return Math.min(beat, comment, time + stallTimeout)
	}

	/** A timer of the app that is as long as the heartbeat may fire a moment before this one's. */
	#beatIfDue(time: number): void {
		const { heartbeat } = this.writer.settings
		if (heartbeat !== undefined && time >= this.writer.lastWrite + heartbeat * 0.99) {
			this.writer.writeCorked(HEARTBEAT, time)
		}
	}
}

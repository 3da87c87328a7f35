import { BoundedWriter } from './bounded-writer.js'
import { encodeComment, encodeMessage, Frame } from './frame.js'
import type { RequestView } from './request.js'
import { now, type Timed } from './timers.js'
import type { EvCloseReason } from './types.js'

const COMMENT = new Frame(encodeComment(''))
const HEARTBEAT = new Frame(encodeMessage({ event: 'heartbeat', data: '' }))
/** Says that the stream is over. A stream that the client is to come back to ends without it. */
const END = new Frame(encodeMessage({ event: 'end', data: '' }))

/** The life of one client's stream: sends the head, keeps the line alive, and ends exactly once. */
export abstract class Connection extends BoundedWriter implements Timed {
	due = 0
	slot = -1
	/** The head is out: the client was let in. */
	protected isOpen = false
	#closed: EvCloseReason | undefined
	#gone = false
	#lastComment = 0

	/** The stream is over. Called once, before anything else is told. */
	protected abstract ended(reason: EvCloseReason): void
	/** The response is over too; for a cleanly ended one this is later. Called once. */
	protected abstract left(): void

	/** The request the client came with. */
	protected get request(): RequestView {
		return this.transport.request
	}

	/** Why the stream ended, if it has. */
	get closeReason(): EvCloseReason | undefined {
		return this.#closed
	}

	/** Bytes that wait in this process. */
	get waiting(): number {
		return this.#gone ? 0 : this.transport.waiting
	}

	/** Nobody tells about a response that was over before the stream began. */
	protected lookIfOver(): void {
		if (this.transport.over) this.gone()
	}

	/** Sends the head; from here on frames can be written. */
	protected open(): void {
		this.lookIfOver()
		if (this.#closed !== undefined) return
		this.isOpen = true
		this.transport.open()
		this.lastWrite = now()
		this.timers.add(this, this.#nextDue())
	}

	/**
	 * Ends the stream: with a last frame (`null`: without one), or at once where waiting for the client is what must
	 * not be done.
	 */
	finish(reason: EvCloseReason, last: Frame | null = END): void {
		if (this.#closed !== undefined) return
		this.flush()
		// Flushing may have found the client slow.
		if (this.#closed !== undefined) return
		if (reason === 'closed' && this.isOpen) this.#beatIfDue(now())
		this.#end(reason)
		if (reason === 'slow' || reason === 'stalled' || !this.isOpen) this.transport.destroy()
		else {
			this.transport.end(last)
			// A client that never takes the rest must not hold the response open.
			if (!this.#gone) this.watch()
		}
	}

	/** Answers 401 with the frame and ends the stream. */
	protected reject(body: Frame): void {
		if (this.#closed !== undefined) return
		this.#end('unauthenticated')
		this.transport.reject(body)
	}

	/** The response is over, for whatever reason. */
	gone(): void {
		if (this.#gone) return
		this.#gone = true
		if (this.#closed === undefined) this.#end('disconnected')
		this.unwatch()
		this.left()
	}

	/** Cuts off a response that was ended and whose client does not take the rest. */
	destroy(): void {
		this.transport.destroy()
	}

	#end(reason: EvCloseReason): void {
		this.#closed = reason
		this.timers.remove(this)
		this.silence()
		this.ended(reason)
	}

	onDue(time: number): number {
		const { heartbeat, keepAlive, stallTimeout } = this.settings
		// Bytes that wait say that the client is slow, not that the line is silent; the stall deadline is for that.
		if (this.waiting > 0) {
			this.watch()
			return time + (heartbeat ?? keepAlive ?? stallTimeout)
		}
		if (heartbeat !== undefined && time >= this.lastWrite + heartbeat) this.writePast(HEARTBEAT, time)
		else if (keepAlive !== undefined && time >= Math.max(this.lastWrite, this.#lastComment) + keepAlive) {
			this.transport.write(COMMENT)
			this.#lastComment = time
		}
		return this.#nextDue()
	}

	#nextDue(): number {
		const { heartbeat, keepAlive, stallTimeout } = this.settings
		const beat = heartbeat === undefined ? Number.POSITIVE_INFINITY : this.lastWrite + heartbeat
		const comment =
			keepAlive === undefined
				? Number.POSITIVE_INFINITY
				: Math.max(this.lastWrite, this.#lastComment) + keepAlive
		// Also without both: bytes may wait that are too few for the client to count as behind.
		return Math.min(beat, comment, now() + stallTimeout)
	}

	/** A timer of the app that is as long as the heartbeat may fire a moment before this one's. */
	#beatIfDue(time: number): void {
		const { heartbeat } = this.settings
		if (heartbeat !== undefined && time >= this.lastWrite + heartbeat * 0.99) this.writePast(HEARTBEAT, time)
	}
}

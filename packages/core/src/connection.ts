import { encodeComment, encodeMessage, Frame } from './frame.js'
import type { ConnectionSettings } from './options.js'
import type { RequestView } from './request.js'
import { Deadline, now, type Timed, type Timers } from './timers.js'
import type { Transport, TransportOwner } from './transport.js'
import type { EvCloseReason } from './types.js'

const COMMENT = new Frame(encodeComment(''))
const HEARTBEAT = new Frame(encodeMessage({ event: 'heartbeat', data: '' }))
/** A client that seems to have taken nothing is looked at again after so many ms. */
const SECOND_LOOK = 50
/** Says that the stream is over. A stream that the client is to come back to ends without it. */
const END = new Frame(encodeMessage({ event: 'end', data: '' }))

/** The stream has ended. */
const CLOSED = 1
/** With `slow: 'drop'`: frames are left out until the client has caught up. */
const DROPPING = 2
/** For each replay that makes frames wait: their ids lie after what it has yet to write. */
const HOLDING = 4

/**
 * One client's stream once its head is out: writes frames, bounds what waits for a slow client, keeps the
 * connection alive, and ends it exactly once.
 *
 * A client is judged by the bytes that wait in this process after everything this tick produced was offered to
 * the kernel: a burst to a client that reads is not slowness.
 */
export abstract class Connection implements Timed, TransportOwner {
	due = 0
	slot = -1
	protected readonly settings: ConnectionSettings
	protected readonly timers: Timers
	readonly #transport: Transport
	/** The head is out: the client was let in. */
	protected isOpen = false
	#gone = false
	#closed: EvCloseReason | undefined
	#lastWrite = now()
	#lastComment = 0
	/** Set while bytes wait beyond the high-water mark. */
	#behind = false
	/** It fell behind in this turn of the event loop, on a transport where only the next one shows what it takes. */
	#unproved = false
	/** Why frames are not written at once: CLOSED, DROPPING and a HOLDING for each replay, added up; 0 if they are. */
	#mute = 0
	/** What waits while HOLDING. */
	#held: { readonly frames: Frame[]; bytes: number } | undefined
	/** For each conflated channel, the frame a client that is behind gets once it caught up. */
	#newest: Map<object, Frame> | undefined
	#drained: (() => void)[] | undefined
	#stall: Deadline | undefined

	/** `connect` makes the way to the client, which tells its owner when the response is over. */
	constructor(settings: ConnectionSettings, timers: Timers, connect: (owner: TransportOwner) => Transport) {
		this.settings = settings
		this.timers = timers
		this.#transport = connect(this)
	}

	/** Something else is about to be written: channel messages of this tick that were sent before go out first. */
	abstract flush(): void
	/** The stream is over. Called once, before anything else is told. */
	protected abstract ended(reason: EvCloseReason): void
	/** The response is over too; for a cleanly ended one this is later. Called once. */
	protected abstract left(): void
	/** Frames were left out for a slow client that has caught up now. */
	protected abstract recovered(): void

	/** The request the client came with. */
	protected get request(): RequestView {
		return this.#transport.request
	}

	/** Why the stream ended, if it has. */
	get closeReason(): EvCloseReason | undefined {
		return this.#closed
	}

	/** More bytes wait than the client takes without falling behind. */
	get behind(): boolean {
		return this.#behind
	}

	/** Bytes that wait in this process. */
	get waiting(): number {
		return this.#gone ? 0 : this.#transport.waiting
	}

	/** Nobody tells about a response that was over before the stream began. */
	protected lookIfOver(): void {
		if (this.#transport.over) this.gone()
	}

	/** Sends the head; from here on frames can be written. */
	protected open(): void {
		this.lookIfOver()
		if (this.#closed !== undefined) return
		this.isOpen = true
		this.#transport.open()
		this.#lastWrite = now()
		this.#arm()
	}

	/** Writes a frame at the end of a tick, when nothing else is to come for this connection. */
	write(frame: Frame, time: number): boolean {
		return this.#mute === 0 ? this.#put(frame, time) : this.#keep(frame)
	}

	#put(frame: Frame, time: number): boolean {
		const transport = this.#transport
		const { waiting } = transport
		// One frame may be larger than the budget: a message that could never be sent would cut the client for ever.
		if (waiting !== 0 && waiting + frame.length > this.settings.maxBuffer && this.#isOver(frame)) return false
		this.#lastWrite = time
		if (!transport.write(frame) && !this.#behind) this.#fallBehind()
		return true
	}

	/** Writes a frame in the middle of a tick: with what else the tick brings it becomes one system call. */
	writeCorked(frame: Frame, time: number): boolean {
		if (this.#mute === 0) this.#transport.cork()
		return this.write(frame, time)
	}

	/** Writes a frame that waits for no replay: it is one of the replay, or it has no id. */
	writePast(frame: Frame, time: number): boolean {
		if ((this.#mute & (CLOSED | DROPPING)) !== 0) return false
		this.#transport.cork()
		return this.#put(frame, time)
	}

	/**
	 * From here on other frames wait. A client that was cut in the middle of the replay of one channel must not have
	 * had a later id from another one: it would never get the rest.
	 */
	hold(): void {
		this.#mute += HOLDING
		this.#held ??= { frames: [], bytes: 0 }
	}

	/** Takes one {@link hold} back; after the last one, what was held is written. */
	release(): void {
		this.#mute -= HOLDING
		if (this.#mute >= HOLDING) return
		const held = this.#held
		this.#held = undefined
		if (held !== undefined) for (const frame of held.frames) this.writeCorked(frame, now())
	}

	#keep(frame: Frame): boolean {
		const held = this.#held
		if (held === undefined || (this.#mute & (CLOSED | DROPPING)) !== 0) return false
		// Too much to hold, as for any slow client. It comes back to where the replay was.
		if (held.bytes > 0 && held.bytes + frame.length > this.settings.maxBuffer) {
			this.finish('slow')
			return false
		}
		held.bytes += frame.length
		held.frames.push(frame)
		return true
	}

	/** Writes a frame of a conflated channel: a client that is behind gets only the newest one, when it caught up. */
	writeNewest(channel: object, frame: Frame, time: number): boolean {
		if (!this.#behind) return this.writePast(frame, time)
		this.#newest ??= new Map()
		this.#newest.delete(channel)
		this.#newest.set(channel, frame)
		return true
	}

	/** Forgets the frame that waits for a conflated channel. */
	forgetNewest(channel: object): void {
		this.#newest?.delete(channel)
	}

	/** Resolves when the client has caught up or the stream has ended. */
	drain(): Promise<void> {
		if (!this.#behind) return Promise.resolve()
		return new Promise((resolve) => {
			this.#drained ??= []
			this.#drained.push(resolve)
		})
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
		const transport = this.#transport
		this.#end(reason)
		if (reason === 'slow' || reason === 'stalled' || !this.isOpen) transport.destroy()
		else {
			transport.end(last)
			// A client that never takes the rest must not hold the response open.
			this.#watch()
		}
	}

	/** Answers 401 with the frame and ends the stream. */
	protected reject(body: Frame): void {
		if (this.#closed !== undefined) return
		this.#end('unauthenticated')
		this.#transport.reject(body)
	}

	/** The response is over, for whatever reason. */
	gone(): void {
		if (this.#gone) return
		this.#gone = true
		if (this.#closed === undefined) this.#end('disconnected')
		if (this.#stall !== undefined) this.timers.remove(this.#stall)
		this.left()
	}

	/** Cuts off a response that was ended and whose client does not take the rest. */
	destroy(): void {
		this.#transport.destroy()
	}

	onDue(time: number): number {
		const { heartbeat, keepAlive, stallTimeout } = this.settings
		// Bytes that wait say that the client is slow, not that the line is silent; the stall deadline is for that.
		if (this.waiting > 0) {
			this.#watch()
			return time + (heartbeat ?? keepAlive ?? stallTimeout)
		}
		if (heartbeat !== undefined && time >= this.#lastWrite + heartbeat) this.writePast(HEARTBEAT, time)
		else if (keepAlive !== undefined && time >= Math.max(this.#lastWrite, this.#lastComment) + keepAlive) {
			this.#transport.write(COMMENT)
			this.#lastComment = time
		}
		return this.#nextDue()
	}

	/** A timer of the app that is as long as the heartbeat may fire a moment before this one's. */
	#beatIfDue(time: number): void {
		const { heartbeat } = this.settings
		if (heartbeat !== undefined && time >= this.#lastWrite + heartbeat * 0.99) this.writePast(HEARTBEAT, time)
	}

	#nextDue(): number {
		const { heartbeat, keepAlive, stallTimeout } = this.settings
		const beat = heartbeat === undefined ? Number.POSITIVE_INFINITY : this.#lastWrite + heartbeat
		const comment =
			keepAlive === undefined
				? Number.POSITIVE_INFINITY
				: Math.max(this.#lastWrite, this.#lastComment) + keepAlive
		// Also without both: bytes may wait that are too few for the client to count as behind.
		return Math.min(beat, comment, now() + stallTimeout)
	}

	#arm(): void {
		this.timers.add(this, this.#nextDue())
	}

	/** The budget is used up, exactly: what was held back for the tick has been offered to the kernel. */
	#isOver(frame: Frame): boolean {
		const transport = this.#transport
		transport.flush()
		const { waiting } = transport
		if (waiting === 0 || waiting + frame.length <= this.settings.maxBuffer) return false
		if (this.#unproved) return false
		if (this.settings.slow === 'disconnect') {
			this.finish('slow')
		} else {
			this.#mute |= DROPPING
			if (!this.#behind) this.#setBehind(transport)
		}
		return true
	}

	#fallBehind(): void {
		const transport = this.#transport
		transport.flush()
		if (transport.behind) this.#setBehind(transport)
	}

	#setBehind(transport: Transport): void {
		this.#behind = true
		if (!transport.exact) {
			this.#unproved = true
			setImmediate(() => {
				this.#unproved = false
			})
		}
		transport.onDrain(() => this.#caughtUp())
		this.#watch()
	}

	#caughtUp(): void {
		if (!this.#behind || this.#closed !== undefined) return
		this.#behind = false
		if ((this.#mute & DROPPING) !== 0) {
			this.#mute &= ~DROPPING
			this.flush()
			this.recovered()
		}
		const newest = this.#newest
		this.#newest = undefined
		if (newest !== undefined) for (const [channel, frame] of newest) this.writeNewest(channel, frame, now())
		if (!this.#behind) this.#releaseDrained()
	}

	#releaseDrained(): void {
		const drained = this.#drained
		this.#drained = undefined
		if (drained !== undefined) for (const resolve of drained) resolve()
	}

	/** Bytes wait: the client must take some of them within `stallTimeout`, again and again until none wait. */
	#watch(): void {
		if (this.#gone || this.#stall !== undefined) return
		let progress = this.#transport.progress()
		let lookedAgain = false
		this.#stall = new Deadline((time) => {
			const before = progress
			progress = this.#transport.progress()
			if (this.#closed === undefined && this.waiting === 0) this.#stall = undefined
			else if (progress !== before) {
				lookedAgain = false
				return time + this.settings.stallTimeout
			} else if (!lookedAgain) {
				// This process itself may have been held up: what the client took meanwhile shows only after this turn.
				lookedAgain = true
				return time + SECOND_LOOK
			} else if (this.#closed === undefined) this.finish('stalled')
			else this.#transport.destroy()
			return undefined
		})
		this.timers.add(this.#stall, now() + this.settings.stallTimeout)
	}

	#end(reason: EvCloseReason): void {
		this.#closed = reason
		this.#mute |= CLOSED
		this.#held = undefined
		this.timers.remove(this)
		this.#newest = undefined
		this.#behind = false
		this.#releaseDrained()
		this.ended(reason)
	}
}

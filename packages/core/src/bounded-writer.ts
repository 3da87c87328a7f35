import { Backlog } from './backlog.js'
import type { Frame } from './frame.js'
import type { ConnectionSettings } from './options.js'
import { StallWatch } from './stall-watch.js'
import { now, type Timers } from './timers.js'
import type { Transport, TransportOwner } from './transport.js'
import type { EvCloseReason } from './types.js'

/** The stream has ended. */
const CLOSED = 1
/** With `slow: 'drop'`: frames are left out until the client has caught up. */
const DROPPING = 2
/** For each replay that makes frames wait: their ids lie after what it has yet to write. */
const HOLDING = 4

/**
 * Writes frames to one client and bounds what waits for it: over `maxBuffer` the client is cut off or left out, and
 * whoever takes nothing for `stallTimeout` is cut off.
 *
 * A client is judged by the bytes that wait in this process after everything this tick produced was offered to
 * the kernel: a burst to a client that reads is not slowness.
 */
export abstract class BoundedWriter implements TransportOwner {
	protected readonly settings: ConnectionSettings
	protected readonly transport: Transport
	/** Why frames are not written at once: CLOSED, DROPPING and a HOLDING for each replay, added up; 0 if they are. */
	#mute = 0
	/** Set while bytes wait beyond the high-water mark. */
	#behind = false
	/** When the last frame was written. */
	protected lastWrite: number = now()
	protected readonly timers: Timers
	#backlog: Backlog | undefined
	#stall: StallWatch | undefined

	/** `connect` makes the way to the client, which tells its owner when the response is over. */
	constructor(settings: ConnectionSettings, timers: Timers, connect: (owner: TransportOwner) => Transport) {
		this.settings = settings
		this.timers = timers
		this.transport = connect(this)
	}

	/** Something else is about to be written: channel messages of this tick that were sent before go out first. */
	abstract flush(): void
	abstract gone(): void
	/** Ends the stream; for a client that is too slow, at once. */
	abstract finish(reason: EvCloseReason): void
	/** Frames were left out for a slow client that has caught up now. */
	protected abstract recovered(): void

	/** More bytes wait than the client takes without falling behind. */
	get behind(): boolean {
		return this.#behind
	}

	/** Writes a frame at the end of a tick, when nothing else is to come for this connection. */
	write(frame: Frame, time: number): boolean {
		return this.#mute === 0 ? this.#put(frame, time) : this.#hold(frame)
	}

	#put(frame: Frame, time: number): boolean {
		const { transport } = this
		const { waiting } = transport
		// One frame may be larger than the budget: a message that could never be sent would cut the client for ever.
		if (waiting !== 0 && waiting + frame.length > this.settings.maxBuffer && this.#isOver(frame)) return false
		this.lastWrite = time
		if (!transport.write(frame) && !this.#behind) this.#fallBehind()
		return true
	}

	/** Writes a frame in the middle of a tick: with what else the tick brings it becomes one system call. */
	writeCorked(frame: Frame, time: number): boolean {
		if (this.#mute === 0) this.transport.cork()
		return this.write(frame, time)
	}

	/** Writes a frame that waits for no replay: it is one of the replay, or it has no id. */
	writePast(frame: Frame, time: number): boolean {
		if ((this.#mute & (CLOSED | DROPPING)) !== 0) return false
		this.transport.cork()
		return this.#put(frame, time)
	}

	/**
	 * From here on other frames wait. A client that was cut in the middle of the replay of one channel must not have
	 * had a later id from another one: it would never get the rest.
	 */
	hold(): void {
		this.#mute += HOLDING
	}

	/** Takes one {@link hold} back; after the last one, what was held is written. */
	release(): void {
		this.#mute -= HOLDING
		if (this.#mute >= HOLDING || this.#backlog === undefined) return
		for (const frame of this.#backlog.takeHeld()) this.writeCorked(frame, now())
	}

	#hold(frame: Frame): boolean {
		if ((this.#mute & (CLOSED | DROPPING)) !== 0) return false
		this.#backlog ??= new Backlog()
		if (this.#backlog.hold(frame, this.settings.maxBuffer)) return true
		// Too much to hold, as for any slow client. It comes back to where the replay was.
		this.finish('slow')
		return false
	}

	/** Writes a frame of a conflated channel: a client that is behind gets only the newest one, when it caught up. */
	writeNewest(channel: object, frame: Frame, time: number): boolean {
		if (!this.#behind) return this.writePast(frame, time)
		this.#backlog ??= new Backlog()
		this.#backlog.replaceNewest(channel, frame)
		return true
	}

	/** Forgets the frame that waits for a conflated channel. */
	forgetNewest(channel: object): void {
		this.#backlog?.forgetNewest(channel)
	}

	/** Resolves when the client has caught up or the stream has ended. */
	drain(): Promise<void> {
		if (!this.#behind) return Promise.resolve()
		this.#backlog ??= new Backlog()
		return this.#backlog.released()
	}

	/** The budget is used up, exactly: what was held back for the tick has been offered to the kernel. */
	#isOver(frame: Frame): boolean {
		const { transport } = this
		transport.flush()
		const { waiting } = transport
		if (waiting === 0 || waiting + frame.length <= this.settings.maxBuffer) return false
		if (this.#backlog?.unproved) return false
		if (this.settings.slow === 'disconnect') {
			this.finish('slow')
		} else {
			this.#mute |= DROPPING
			if (!this.#behind) this.#setBehind()
		}
		return true
	}

	#fallBehind(): void {
		this.transport.flush()
		if (this.transport.behind) this.#setBehind()
	}

	#setBehind(): void {
		this.#behind = true
		if (!this.transport.exact) {
			this.#backlog ??= new Backlog()
			this.#backlog.proveNextTurn()
		}
		this.transport.onDrain(() => this.#caughtUp())
		this.watch()
	}

	#caughtUp(): void {
		if (!this.#behind) return
		this.#behind = false
		if ((this.#mute & DROPPING) !== 0) {
			this.#mute &= ~DROPPING
			this.flush()
			this.recovered()
		}
		const backlog = this.#backlog
		if (backlog === undefined) return
		for (const [channel, frame] of backlog.takeNewest()) this.writeNewest(channel, frame, now())
		if (!this.#behind) backlog.release()
	}

	/** Bytes wait: sees to it that the client takes some of them, also those of a stream that has ended. */
	protected watch(): void {
		if (this.#stall !== undefined && this.#stall.slot >= 0) return
		const { transport } = this
		const { stallTimeout } = this.settings
		this.#stall = new StallWatch(
			transport,
			stallTimeout,
			() => (this.#mute & CLOSED) !== 0 || transport.waiting > 0,
			() => {
				if ((this.#mute & CLOSED) === 0) this.finish('stalled')
				else transport.destroy()
			},
		)
		this.timers.add(this.#stall, now() + stallTimeout)
	}

	/** The response is over. */
	protected unwatch(): void {
		if (this.#stall !== undefined) this.timers.remove(this.#stall)
	}

	/** The stream has ended: nothing is written any more, and nobody waits. */
	protected silence(): void {
		this.#mute |= CLOSED
		this.#behind = false
		this.#backlog?.release()
		this.#backlog = undefined
	}
}

import { Backlog } from './backlog.js'
import { beginWork, endWork } from './callbacks.js'
import type { Frame } from './frame.js'
import type { ConnectionSettings } from './options.js'
import { StallWatch } from './stall-watch.js'
import { now, type Timers } from './timers.js'
import type { Transport } from './transport.js'

/** The stream has ended. */
const ENDED = 1
/** With `slow: 'drop'`: frames are left out until the client has caught up. */
const DROPPING = 2

/** The stream that a writer writes for. */
export interface WriterOwner {
	readonly timers: Timers
	/** Writes the channel messages that were sent before, in this tick. */
	flush(): void
	/** The client is to be cut off: it takes too little, or nothing. */
	tooSlow(reason: 'slow' | 'stalled'): void
	/** Frames were left out for a slow client that has caught up now. */
	recovered(): void
	/** Writing to the response threw. */
	failed(error: unknown): void
}

/**
 * Writes frames to one client and bounds what waits for it: over `maxBuffer` the client is cut off or left out, and
 * one that takes nothing for `stallTimeout` is cut off. {@link "backlog".Backlog} has the rule.
 *
 * A client is `behind` while bytes wait above the high-water mark of its transport, or above half of `maxBuffer`. Who
 * waits for a client that is behind never makes it slow.
 */
export class ClientWriter {
	readonly transport: Transport
	readonly settings: ConnectionSettings
	/** When the last frame was written. */
	lastWrite = 0
	readonly #owner: WriterOwner
	/** Why nothing is written: ENDED and DROPPING, added up; 0 if frames are written. */
	#blocked = 0
	#behind = false
	#backlog: Backlog | undefined
	#stall: StallWatch | undefined

	constructor(transport: Transport, settings: ConnectionSettings, owner: WriterOwner) {
		this.transport = transport
		this.settings = settings
		this.#owner = owner
	}

	/** The client has not taken enough: wait for `drained` before more is written. */
	get behind(): boolean {
		return this.#behind
	}

	/** Writes a frame at the end of a tick, when nothing else is to come for this client. `false`: not written. */
	write(frame: Frame, time: number): boolean {
		if (this.#blocked !== 0) return false
		try {
			const { transport } = this
			if ((transport.waiting + frame.length) * 2 > this.settings.maxBuffer)
				return this.#writeMuch(frame, time)
			this.lastWrite = time
			if (!transport.write(frame) && !this.#behind) this.#fallBehind()
			return true
		} catch (error) {
			this.#owner.failed(error)
			return false
		}
	}

	/** Writes a frame in the middle of a tick: with what else the tick brings it becomes one system call. */
	writeCorked(frame: Frame, time: number): boolean {
		if (this.#blocked === 0) this.transport.cork()
		return this.write(frame, time)
	}

	/** Writes a comment. It is no message: the connection stays as silent as it was. */
	writeComment(comment: Frame): void {
		if (this.#blocked !== 0) return
		try {
			this.transport.write(comment)
		} catch (error) {
			this.#owner.failed(error)
		}
	}

	/** Writes a frame of a conflated channel: a client that is behind gets only the newest one, when it caught up. */
	writeNewest(channel: object, frame: Frame, time: number): boolean {
		if (!this.#behind && this.writeCorked(frame, time)) return true
		if ((this.#blocked & ENDED) !== 0) return false
		this.#backlog ??= new Backlog()
		this.#backlog.replaceNewest(channel, frame)
		return true
	}

	/** Forgets the frame that waits for a conflated channel. */
	forgetNewest(channel: object): void {
		this.#backlog?.forgetNewest(channel)
	}

	/** Resolves when the client has caught up or the stream has ended. */
	drained(): Promise<void> {
		if (!this.#behind) return Promise.resolve()
		this.#backlog ??= new Backlog()
		return this.#backlog.released()
	}

	/** Bytes wait: sees to it that the client takes some of them, also those of a stream that has ended. */
	watch(): void {
		if (this.#stall !== undefined && this.#stall.slot >= 0) return
		const { transport } = this
		const { stallTimeout } = this.settings
		this.#stall = new StallWatch(
			transport,
			stallTimeout,
			() => (this.#blocked & ENDED) !== 0 || transport.waiting > 0,
			() => {
				if ((this.#blocked & ENDED) === 0) this.#owner.tooSlow('stalled')
				else transport.destroy()
			},
		)
		this.#owner.timers.add(this.#stall, now() + stallTimeout)
	}

	/** The response is over. */
	unwatch(): void {
		if (this.#stall !== undefined) this.#owner.timers.remove(this.#stall)
	}

	/** The stream has ended: nothing is written any more, and nobody waits. */
	end(): void {
		this.#blocked |= ENDED
		this.#behind = false
		this.#backlog?.release()
		this.#backlog = undefined
	}

	/** More than half of the budget is used, or would be with this frame. */
	#writeMuch(frame: Frame, time: number): boolean {
		const { transport } = this
		const { maxBuffer, slow } = this.settings
		// What was held back for the tick is offered to the kernel first.
		transport.flush()
		this.#backlog ??= new Backlog()
		if (!this.#backlog.accepts(transport.waiting, frame.length, maxBuffer, transport.starved)) {
			if (slow === 'disconnect') {
				this.#owner.tooSlow('slow')
			} else {
				this.#blocked |= DROPPING
				if (!this.#behind) this.#setBehind()
			}
			return false
		}
		this.lastWrite = time
		transport.write(frame)
		transport.flush()
		if (!this.#behind && (transport.behind || transport.waiting * 2 > maxBuffer)) this.#setBehind()
		return true
	}

	#fallBehind(): void {
		this.transport.flush()
		if (this.transport.behind) this.#setBehind()
	}

	#setBehind(): void {
		this.#behind = true
		this.#waitForDrain()
		this.watch()
	}

	#waitForDrain(): void {
		this.transport.onDrain(() => {
			beginWork()
			try {
				this.#drained()
			} finally {
				endWork()
			}
		})
	}

	#drained(): void {
		if (!this.#behind) return
		// More may have been written since.
		if (this.transport.waiting * 2 > this.settings.maxBuffer) this.#waitForDrain()
		else this.#caughtUp()
	}

	#caughtUp(): void {
		this.#behind = false
		this.#backlog?.drained()
		if ((this.#blocked & DROPPING) !== 0) {
			// What this tick has sent so far belongs to what was left out.
			this.#owner.flush()
			this.#blocked &= ~DROPPING
			this.#owner.recovered()
		}
		const backlog = this.#backlog
		if (backlog === undefined) return
		for (const [channel, frame] of backlog.takeNewest()) this.writeNewest(channel, frame, now())
		if (!this.#behind) backlog.release()
	}
}

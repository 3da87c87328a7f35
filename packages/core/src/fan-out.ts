import { beginWork, endWork } from './callbacks.js'
import type { Channel } from './channel.js'
import type { ClientWriter } from './client-writer.js'
import { Frame } from './frame.js'
import { atEndOfTick, type TickWork } from './tick.js'
import { now } from './timers.js'

/** A run that has grown to so many bytes is written before the tick ends, so that joining never holds much. */
const LARGEST_RUN = 65_536

/** Tells which listeners a message is for; asked once, before anything is written. */
export type Selection = () => (writer: ClientWriter) => boolean

/** Messages that one tick sent to one channel, one after the other. */
class Run {
	readonly frames: Frame[] = []
	bytes = 0

	/** With a selection it is a run of one message, for a part of the listeners. */
	constructor(
		readonly channel: Channel,
		readonly selection: Selection | undefined,
	) {}

	add(frame: Frame): void {
		this.frames.push(frame)
		this.bytes += frame.length
	}

	/** All of them as one frame. */
	join(): Frame {
		const [first] = this.frames
		return this.frames.length === 1 && first !== undefined ? first : new Frame(this.frames)
	}
}

/**
 * Writes channel messages to their listeners. Messages that one tick sends to one channel form a run: they are
 * joined once and each listener gets them in one write.
 *
 * Whatever else is written, to another channel or to one stream, ends the run first ({@link flush}). That keeps
 * the order in which things were sent, for every connection, without any bookkeeping per connection. Runs wait in
 * line: what is sent while one is written comes after it.
 */
export class FanOut implements TickWork {
	/** Frames handed to listeners since the start. */
	deliveries = 0
	/** The run that still grows. */
	#open: Run | undefined
	/** Runs that are to be written, the oldest first. */
	#line: Run[] = []
	#writing = false
	#scheduled = false

	/** Adds a frame to the channel's run. It is written by the end of the tick. */
	push(channel: Channel, frame: Frame): void {
		let run = this.#open
		if (run === undefined || run.channel !== channel || run.bytes + frame.length > LARGEST_RUN) {
			this.#endRun()
			run = new Run(channel, undefined)
			this.#open = run
		}
		run.add(frame)
		if (!this.#scheduled) {
			this.#scheduled = true
			atEndOfTick(this)
		}
		// The frame stands in line before anything is written, since writing may bring more to send.
		if (this.#line.length > 0) this.#write(true)
	}

	/** Writes a frame to those listeners of the channel that the selection lets through. */
	pushTo(channel: Channel, frame: Frame, selection: Selection): void {
		this.#endRun()
		const run = new Run(channel, selection)
		run.add(frame)
		this.#line.push(run)
		this.#write(true)
	}

	/** Writes what waits now; more may come for its listeners in this tick, so they stay corked. */
	flush(): void {
		if (this.#open === undefined) return
		this.#endRun()
		this.#write(true)
	}

	/** Writes what waits: the last of this tick, so most listeners need no cork for it. */
	endTick(): void {
		this.#scheduled = false
		this.#endRun()
		this.#write(false)
	}

	#endRun(): void {
		if (this.#open === undefined) return
		this.#line.push(this.#open)
		this.#open = undefined
	}

	#write(moreToCome: boolean): void {
		if (this.#writing || this.#line.length === 0) return
		this.#writing = true
		beginWork()
		try {
			for (let run = this.#line.shift(); run !== undefined; run = this.#line.shift()) {
				this.#writeRun(run, moreToCome || this.#line.length > 0)
			}
		} finally {
			this.#writing = false
			endWork()
		}
	}

	#writeRun(run: Run, corked: boolean): void {
		const frame = run.join()
		// May ask the app, which may send: that comes after this run.
		const isFor = run.selection?.()
		const time = now()
		let delivered = 0
		for (const writer of run.channel.listeners.keys()) {
			if (isFor !== undefined && !isFor(writer)) continue
			if (corked ? writer.writeCorked(frame, time) : writer.write(frame, time)) delivered++
		}
		this.deliveries += delivered * run.frames.length
	}
}

import { beginWork, endWork } from './callbacks.js'
import type { Channel, Subscriber } from './channel.js'
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

/** A stream that begins to listen while messages are written: it has its place among them. */
class Join {
	constructor(
		readonly channel: Channel,
		readonly writer: ClientWriter,
	) {}

	/** Makes it a listener, unless it has left again. */
	run(): void {
		const { joining, listeners } = this.channel
		const stream = joining?.get(this.writer)
		if (stream === undefined) return
		joining?.delete(this.writer)
		listeners.set(this.writer, stream)
	}
}

/**
 * Writes channel messages to their listeners. Messages that one tick sends to one channel form a run: they are
 * joined once and each listener gets them in one write.
 *
 * Whatever else is written, to another channel or to one stream, ends the run first ({@link flush}). That keeps
 * the order in which things were sent, for every connection, without any bookkeeping per connection. Runs wait in
 * line: what is sent while one is written comes after it. So does a stream that begins to listen then, which the app
 * may do in a `res.write` that it replaced: the loop over listeners meets none that came after the message.
 */
export class FanOut implements TickWork {
	/** Frames handed to listeners since the start. */
	deliveries = 0
	/** The run that still grows. */
	#open: Run | undefined
	/** What is to be written, and who is to listen to what comes next; the oldest first. */
	#line: (Run | Join)[] = []
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

	/** The stream gets what is sent from now on, and nothing that was sent before. */
	join(channel: Channel, stream: Subscriber): void {
		const { writer } = stream
		if (!this.#writing) {
			channel.listeners.set(writer, stream)
			return
		}
		this.#endRun()
		channel.joining ??= new Map()
		channel.joining.set(writer, stream)
		this.#line.push(new Join(channel, writer))
	}

	/** Writes something else to listeners. Nobody joins them meanwhile. */
	write(work: () => void): void {
		this.flush()
		if (this.#writing) {
			work()
			return
		}
		this.#writing = true
		try {
			work()
		} finally {
			this.#writing = false
			this.#write(true)
		}
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
				if (run instanceof Join) run.run()
				else this.#writeRun(run, moreToCome || this.#line.length > 0)
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

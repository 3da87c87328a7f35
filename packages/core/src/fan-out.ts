import type { Channel } from './channel.js'
import { Frame } from './frame.js'
import { atEndOfTick, type TickWork } from './tick.js'
import { now } from './timers.js'

/** A run that has grown to so many bytes is written before the tick ends, so that joining never holds much. */
const LARGEST_RUN = 65_536

/**
 * Writes channel messages to their listeners. Messages that one tick sends to one channel form a run: they are
 * joined once and each listener gets them in one write.
 *
 * Whatever else is written, to another channel or to one stream, ends the run first ({@link flush}). That keeps
 * the order in which things were sent, for every connection, without any bookkeeping per connection.
 */
export class FanOut implements TickWork {
	/** Frames handed to listeners since the start. */
	deliveries = 0
	#channel: Channel | undefined
	#frames: Frame[] = []
	#bytes = 0
	#scheduled = false

	/** Adds a frame to the channel's run. It is written by the end of the tick. */
	push(channel: Channel, frame: Frame): void {
		if (channel.listeners.size === 0) return
		if (this.#channel !== channel || this.#bytes + frame.length > LARGEST_RUN) this.flush()
		this.#channel = channel
		this.#frames.push(frame)
		this.#bytes += frame.length
		if (this.#scheduled) return
		this.#scheduled = true
		atEndOfTick(this)
	}

	/** Writes the run now; more may come for its listeners in this tick, so they stay corked. */
	flush(): void {
		const channel = this.#channel
		if (channel === undefined) return
		const { frame, count } = this.#take()
		const time = now()
		for (const connection of channel.listeners.keys()) {
			if (connection.writeCorked(frame, time)) this.deliveries += count
		}
	}

	/** Writes the run: the last of this tick, so most listeners need no cork for it. */
	endTick(): void {
		this.#scheduled = false
		const channel = this.#channel
		if (channel === undefined) return
		const { frame, count } = this.#take()
		const time = now()
		let delivered = 0
		for (const connection of channel.listeners.keys()) {
			if (connection.write(frame, time)) delivered++
		}
		this.deliveries += delivered * count
	}

	/** Empties the run before anything is written: a write may end a stream, whose clean-up may send again. */
	#take(): { frame: Frame; count: number } {
		const frames = this.#frames
		const [first] = frames
		const count = frames.length
		this.#channel = undefined
		this.#frames = []
		this.#bytes = 0
		return { frame: count === 1 && first !== undefined ? first : new Frame(frames), count }
	}
}

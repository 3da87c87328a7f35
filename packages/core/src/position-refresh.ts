import type { Subscriber } from './channel.js'
import { positionFrame } from './history.js'
import type { Hub } from './hub.js'
import { covers } from './position.js'
import { now, type Timed, type Timers } from './timers.js'

/** How long a stream may be silent before it is told its position again, in ms. */
const INTERVAL = 60_000
/** How many streams are looked at before the event loop gets a turn. */
const SLICE = 500

/** The streams of one manager. */
export interface RefreshedStreams {
	readonly timers: Timers
	all(): IterableIterator<Subscriber>
}

/**
 * Tells streams on whose channels nothing happens their position, every minute. A log forgets channels that were
 * silent for long, and then cannot tell whether an old position has missed something there; a client that was
 * connected all the time must not be reset for it.
 */
export class PositionRefresh implements Timed {
	due = 0
	slot = -1
	readonly #hub: Hub
	readonly #streams: RefreshedStreams
	/** The streams that this round has yet to look at. */
	#round: IterableIterator<Subscriber> | undefined
	#silentSince = 0

	constructor(hub: Hub, streams: RefreshedStreams) {
		this.#hub = hub
		this.#streams = streams
	}

	start(): void {
		this.#streams.timers.add(this, now() + INTERVAL)
	}

	stop(): void {
		this.#round = undefined
		this.#streams.timers.remove(this)
	}

	onDue(time: number): number {
		if (this.#round === undefined) {
			this.#round = this.#streams.all()
			this.#silentSince = time - INTERVAL
		}
		for (let looked = 0; looked < SLICE; looked++) {
			const next = this.#round.next()
			if (next.done === true) {
				this.#round = undefined
				return time + INTERVAL
			}
			this.#refresh(next.value)
		}
		return time + 1
	}

	/** Tells a live stream on whose channels nothing was delivered for a while where it stands now. */
	#refresh(stream: Subscriber): void {
		if (stream.replaying !== undefined || stream.writer.behind || stream.channels.length === 0) return
		const position = this.#hub.positionOf(stream)
		if (position === undefined || covers(stream.told, position)) return
		if (stream.channels.some(({ lastDelivery }) => lastDelivery > this.#silentSince)) return
		this.#hub.flush()
		if (stream.writer.writeCorked(positionFrame(position), now())) stream.told = position
	}
}

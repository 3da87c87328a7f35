import { afterReading } from './after-reading.js'
import { outsideContext } from './context.js'

/** What a watch looks at. */
export interface Watched {
	/** How long a connection with an answer due may receive nothing, in ms. */
	readonly timeout: number
	/** A number that changes with everything that arrives. */
	received(): number
	/** An answer is due. */
	isDue(): boolean
	/** Nothing arrived for `timeout` although an answer was due. Called again each time that happens. */
	onSilence(): void
}

/** The parts in which the timeout is measured. */
const PARTS = 8

/**
 * Finds a connection that looks alive but answers nothing. `socketTimeout` of ioredis does too, but it destroys the
 * connection of a process that was frozen, with the answers that wait in its socket. Here a frozen process counts as
 * one part of the timeout at most, and what has arrived is read first.
 */
export class AnswerWatch {
	readonly #watched: Watched
	#timer: NodeJS.Timeout | undefined
	#last = 0
	/** Parts of the timeout without anything received. */
	#silent = 0
	#isSilent = false

	constructor(watched: Watched) {
		this.#watched = watched
	}

	/** `true` from `onSilence` until something is received. */
	get isSilent(): boolean {
		return this.#isSilent && this.#watched.received() === this.#last
	}

	/** An answer is due from now on. Without effect if one was already. */
	start(): void {
		if (this.#timer !== undefined) return
		this.#last = this.#watched.received()
		this.#silent = 0
		this.#timer = outsideContext(() => setInterval(this.#look, this.#watched.timeout / PARTS))
		this.#timer.unref()
	}

	/** The connection is over: nothing is due. */
	stop(): void {
		clearInterval(this.#timer)
		this.#timer = undefined
		this.#isSilent = false
	}

	readonly #look = (): void => afterReading(this.#watched.received, this.#judge)

	readonly #judge = (): void => {
		if (this.#timer === undefined) return
		if (!this.#watched.isDue()) {
			this.stop()
			return
		}
		const received = this.#watched.received()
		if (received !== this.#last) {
			this.#last = received
			this.#silent = 0
			this.#isSilent = false
			return
		}
		// One part more than the timeout has: an answer may be due only since the end of the first one.
		if (++this.#silent <= PARTS) return
		this.#silent = 0
		this.#isSilent = true
		this.#watched.onSilence()
	}
}

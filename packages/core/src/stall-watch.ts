import type { Timed } from './timers.js'
import type { Transport } from './transport.js'

/** A client that seems to have taken nothing is looked at again after so many ms. */
const SECOND_LOOK = 50

/** Bytes wait for a client: it must take some of them within `timeout` ms, again and again while it `isOwed`. */
export class StallWatch implements Timed {
	due = 0
	slot = -1
	readonly #transport: Transport
	readonly #timeout: number
	readonly #isOwed: () => boolean
	readonly #stalled: () => void
	#progress: number
	#lookedAgain = false

	constructor(transport: Transport, timeout: number, isOwed: () => boolean, stalled: () => void) {
		this.#transport = transport
		this.#timeout = timeout
		this.#isOwed = isOwed
		this.#stalled = stalled
		this.#progress = transport.progress()
	}

	onDue(time: number): number | undefined {
		if (!this.#isOwed()) return undefined
		const before = this.#progress
		this.#progress = this.#transport.progress()
		if (this.#progress !== before) {
			this.#lookedAgain = false
			return time + this.#timeout
		}
		if (!this.#lookedAgain) {
			// This process itself may have been held up: what the client took meanwhile shows only after this turn.
			this.#lookedAgain = true
			return time + SECOND_LOOK
		}
		this.#stalled()
		return undefined
	}
}

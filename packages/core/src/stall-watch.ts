import type { Timed } from './timers.js'
import type { Transport } from './transport.js'

/** How often a client that seems to have taken nothing is looked at again, and how long after each look, in ms. */
const LOOKS = 5
const PAUSE = 10

/** Calls `onStall` if the client accepts no bytes for `timeout` ms, again and again while it `isOwed` some. */
export class StallWatch implements Timed {
	due = 0
	slot = -1
	readonly #transport: Transport
	readonly #timeout: number
	readonly #isOwed: () => boolean
	readonly #onStall: () => void
	#progress: number
	#looks = 0

	constructor(transport: Transport, timeout: number, isOwed: () => boolean, onStall: () => void) {
		this.#transport = transport
		this.#timeout = timeout
		this.#isOwed = isOwed
		this.#onStall = onStall
		this.#progress = transport.progress()
	}

	onDue(time: number): number | undefined {
		if (!this.#isOwed()) return undefined
		const before = this.#progress
		this.#progress = this.#transport.progress()
		if (this.#progress !== before) {
			this.#looks = 0
			return time + this.#timeout
		}
		// This process itself may have been held up: what the client took meanwhile shows only in turns that poll. Each
		// look is a turn of its own, however little time this process is given.
		if (this.#looks < LOOKS) {
			this.#looks++
			return time + PAUSE
		}
		this.#onStall()
		return undefined
	}
}

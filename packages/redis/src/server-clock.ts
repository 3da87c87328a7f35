/** For how long a sample counts, in ms: a server whose clock is set back is believed after twice this time. */
const LIFETIME = 30_000

/**
 * The clock of the Redis server, as its answers tell it. Nobody knows when in a round trip the server looked at its
 * clock, so this one is never ahead of it, and behind by the shortest time that an answer took of late.
 */
export class ServerClock {
	#since = Number.NEGATIVE_INFINITY
	#offset = Number.NEGATIVE_INFINITY
	#earlier = Number.NEGATIVE_INFINITY

	/** An answer that has just arrived says what time it was. */
	learn(serverTime: number): void {
		const now = performance.now()
		if (now - this.#since > LIFETIME) {
			this.#earlier = now - this.#since > 2 * LIFETIME ? Number.NEGATIVE_INFINITY : this.#offset
			this.#offset = Number.NEGATIVE_INFINITY
			this.#since = now
		}
		this.#offset = Math.max(this.#offset, serverTime - now)
	}

	/** The server's time at a moment of this process's monotonic clock, rounded down; 0 as long as it is not known. */
	at(moment: number): number {
		return Math.max(0, Math.floor(moment + Math.max(this.#offset, this.#earlier)))
	}
}

/** Random numbers that a seed gives again. */
export class Random {
	#state: number

	constructor(seed: number) {
		this.#state = seed >>> 0
	}

	/** A number of [0, 1), by mulberry32. */
	next(): number {
		this.#state = (this.#state + 0x6d2b79f5) >>> 0
		let mixed = this.#state
		mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
	}

	/** An integer of [0, below). */
	below(below: number): number {
		return Math.floor(this.next() * below)
	}

	/** The same things in another order. */
	shuffled<T>(things: readonly T[]): T[] {
		const keyed = things.map((thing) => ({ thing, key: this.next() }))
		return keyed.sort((a, b) => a.key - b.key).map(({ thing }) => thing)
	}
}

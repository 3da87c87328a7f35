/** Random choices that are the same for the same seed. */
export class Random {
	readonly #seed: number
	#state: number

	constructor(seed: number) {
		this.#seed = seed | 0
		this.#state = seed | 0
	}

	/** A number in [0, 1): mulberry32. */
	next(): number {
		this.#state = (this.#state + 0x6d2b79f5) | 0
		const state = this.#state
		let value = Math.imul(state ^ (state >>> 15), state | 1)
		value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
		return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
	}

	/** A whole number, both ends included. */
	int(from: number, to: number): number {
		return from + Math.floor(this.next() * (to - from + 1))
	}

	chance(probability: number): boolean {
		return this.next() < probability
	}

	pick<T>(items: readonly T[]): T {
		const item = items[this.int(0, items.length - 1)]
		if (item === undefined) throw new RangeError('There is nothing to pick from')
		return item
	}

	/** One of the names, each as probable as its weight. */
	weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
		const names = Object.keys(weights) as Name[]
		let at = this.next() * names.reduce((sum, name) => sum + weights[name], 0)
		for (const name of names) {
			at -= weights[name]
			if (at < 0) return name
		}
		return this.pick(names)
	}

	/** A source of its own: what one party draws does not depend on when another one draws. */
	fork(label: string): Random {
		let hash = this.#seed ^ 0x9e3779b9
		for (let at = 0; at < label.length; at++) hash = Math.imul(hash ^ label.charCodeAt(at), 0x01000193)
		return new Random(hash ^ (hash >>> 15))
	}
}

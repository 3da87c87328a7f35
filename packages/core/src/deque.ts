/** How many items one chunk holds. */
const CHUNK = 512

/** A queue with an index. It is made of chunks, so that no call copies more than one of them, however long it is. */
export class Deque<Item> {
	/** All but the last one are full, if the items that were taken from the first one are counted. */
	readonly #chunks: (Item | undefined)[][] = []
	/** How many items were taken from the first chunk. */
	#taken = 0
	#length = 0

	/** The number of items. */
	get length(): number {
		return this.#length
	}

	/** The item at an index, the oldest one at 0. */
	at(index: number): Item | undefined {
		if (index < 0 || index >= this.#length) return undefined
		const place = this.#taken + index
		return this.#chunks[Math.floor(place / CHUNK)]?.[place % CHUNK]
	}

	/**
	 * The first index, from `from` on, at which `holds`; `length` if there is none. It must hold for all items after
	 * that too.
	 */
	search(holds: (item: Item) => boolean, from: number): number {
		// Most often it is the first one that is asked about.
		const first = this.at(from)
		if (first === undefined || holds(first)) return from
		let low = from + 1
		let high = this.#length
		while (low < high) {
			const middle = Math.floor((low + high) / 2)
			const item = this.at(middle)
			if (item === undefined || holds(item)) high = middle
			else low = middle + 1
		}
		return low
	}

	/** Adds the newest item. */
	push(item: Item): void {
		const last = this.#chunks.at(-1)
		if (last === undefined || last.length === CHUNK) this.#chunks.push([item])
		else last.push(item)
		this.#length++
	}

	/** Takes the oldest item. */
	shift(): Item | undefined {
		const [first] = this.#chunks
		const item = first?.[this.#taken]
		if (first === undefined || item === undefined) return undefined
		first[this.#taken++] = undefined
		this.#length--
		if (this.#taken === first.length) {
			this.#chunks.shift()
			this.#taken = 0
		} else if (this.#chunks.length === 1 && this.#taken > 32 && this.#taken * 2 > first.length) {
			// Many short queues must not each keep a chunk that is mostly empty.
			this.#chunks[0] = first.slice(this.#taken)
			this.#taken = 0
		}
		return item
	}
}

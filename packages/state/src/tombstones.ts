import { isLater, type PeerRecord, type Stamp } from './peer-messages.js'

/** Removals, oldest first by their stamps and not by when they were heard of. */
export class Tombstones {
	readonly #records: PeerRecord[] = []

	get size(): number {
		return this.#records.length
	}

	at(position: number): PeerRecord | undefined {
		return this.#records[position]
	}

	add(record: PeerRecord): void {
		this.#records.splice(this.#position(record), 0, record)
	}

	delete(record: PeerRecord): void {
		const position = this.#position(record)
		if (this.#records[position] === record) this.#records.splice(position, 1)
	}

	/** How many are not later than this stamp. */
	count(stamp: Stamp): number {
		return this.#first((record) => isLater(record, stamp))
	}

	/** Takes the oldest ones out. */
	take(count: number): PeerRecord[] {
		return this.#records.splice(0, count)
	}

	#position(record: PeerRecord): number {
		return this.#first((other) => !isBefore(other, record))
	}

	/** The position of the first one for which it is so, if it is so for all after it. */
	#first(isSo: (record: PeerRecord) => boolean): number {
		let [begin, end] = [0, this.#records.length]
		while (begin < end) {
			const middle = (begin + end) >>> 1
			const record = this.#records[middle]
			if (record !== undefined && !isSo(record)) begin = middle + 1
			else end = middle
		}
		return begin
	}
}

/** A total order: names decide between equal stamps. */
function isBefore(a: PeerRecord, b: PeerRecord): boolean {
	return isLater(b, a) || (!isLater(a, b) && a.channel < b.channel)
}

import type { LogEntry } from '@evstream/core'

/** The most entries that wait, and the UTF-16 units of their payloads. */
const MOST = 10_000
const MOST_LENGTH = 16 * 1_048_576

/** Live entries that wait while a hole is filled, in the order in which they came. */
export class LiveQueue {
	#entries: LogEntry[] = []
	#next = 0
	#length = 0
	#overflowed = false

	/** How many wait. */
	get size(): number {
		return this.#entries.length - this.#next
	}

	/** Some did not fit. What waits is everything up to there. */
	get overflowed(): boolean {
		return this.#overflowed
	}

	push(entry: LogEntry): void {
		// What came after one that did not fit would follow a hole.
		if (this.#overflowed) return
		this.#overflowed = this.size >= MOST || this.#length >= MOST_LENGTH
		if (this.#overflowed) return
		this.#entries.push(entry)
		this.#length += entry.payload.length
	}

	/** The first one stays where it is. */
	peek(): LogEntry | undefined {
		return this.#entries[this.#next]
	}

	/** Takes the first one. */
	shift(): void {
		const entry = this.#entries[this.#next]
		if (entry === undefined) return
		this.#length -= entry.payload.length
		this.#next++
		if (this.#next === this.#entries.length) this.#entries = []
		else if (this.#next < 4_096) return
		else this.#entries = this.#entries.slice(this.#next)
		this.#next = 0
	}

	/** Forgets the first ones. */
	drop(count: number): void {
		for (let n = 0; n < count; n++) this.shift()
	}

	/** What comes from now on is taken again. */
	reopen(): void {
		this.#overflowed = false
	}

	clear(): void {
		this.#entries = []
		this.#next = 0
		this.#length = 0
		this.#overflowed = false
	}
}

import { EvUnavailableError } from '@evstream/core'

/** What one read may bring. */
export interface ReadBudget {
	readonly entries: number
	readonly bytes: number
}

/** What a read is for. The lanes take turns. */
export type ReadLane = 'repair' | 'replay' | 'watch'

interface Waiting {
	readonly since: number
	start(): void
	refuse(error: unknown): void
}

/** How many reads are on their way at a time. */
const IN_FLIGHT = 2
const MOST: ReadBudget = { entries: 1_000, bytes: 524_288 }
/** The smallest part of that. */
const LEAST = 1 / 64

/**
 * The reads of an adapter: few at a time, repairs and replays in turn, each within a budget that fits the deadline.
 *
 * A read that missed its deadline is given up, and the budget halves, so it is never sent again as it was. It doubles
 * with each read that was answered well within the deadline. While reads succeed the others wait for their turn as long
 * as that takes; when one fails, those that have waited for the deadline fail with it.
 */
export class LogReads {
	readonly #deadline: number
	readonly #lanes = new Map<ReadLane, Waiting[]>()
	#inFlight = 0
	#part = 1

	/** @param deadlineMs - How long a read may take. */
	constructor(deadlineMs: number) {
		this.#deadline = deadlineMs
	}

	/** What the next read may bring. */
	get budget(): ReadBudget {
		return { entries: Math.ceil(MOST.entries * this.#part), bytes: Math.ceil(MOST.bytes * this.#part) }
	}

	/** Reads that have not begun. */
	get waiting(): number {
		let waiting = 0
		for (const lane of this.#lanes.values()) waiting += lane.length
		return waiting
	}

	/** Runs a read when it is its turn. It must end by its deadline. */
	run<T>(lane: ReadLane, read: (budget: ReadBudget) => Promise<T>): Promise<T> {
		return new Promise((resolve, reject) => {
			const waiting: Waiting = {
				since: performance.now(),
				start: () => void this.#read(read).then(resolve, reject),
				refuse: reject,
			}
			const others = this.#lanes.get(lane)
			if (others === undefined) this.#lanes.set(lane, [waiting])
			else others.push(waiting)
			this.#next()
		})
	}

	async #read<T>(read: (budget: ReadBudget) => Promise<T>): Promise<T> {
		this.#inFlight++
		const begin = performance.now()
		try {
			const result = await read(this.budget)
			if (performance.now() - begin < this.#deadline / 4) this.#part = Math.min(1, this.#part * 2)
			return result
		} catch (error) {
			if (error instanceof EvUnavailableError) this.#part = Math.max(LEAST, this.#part / 2)
			this.#refuseOverdue(error)
			throw error
		} finally {
			this.#inFlight--
			this.#next()
		}
	}

	#next(): void {
		while (this.#inFlight < IN_FLIGHT) {
			const [first] = this.#lanes
			if (first === undefined) return
			const [lane, waiting] = first
			// The lane goes behind the others.
			this.#lanes.delete(lane)
			const next = waiting.shift()
			if (waiting.length > 0) this.#lanes.set(lane, waiting)
			next?.start()
		}
	}

	#refuseOverdue(error: unknown): void {
		const oldest = performance.now() - this.#deadline
		for (const [lane, waiting] of [...this.#lanes]) {
			// The oldest come first.
			const young = waiting.findIndex(({ since }) => since > oldest)
			const overdue = waiting.splice(0, young < 0 ? waiting.length : young)
			if (waiting.length === 0) this.#lanes.delete(lane)
			for (const { refuse } of overdue) refuse(error)
		}
	}
}

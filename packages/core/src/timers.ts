import { beginWork, endWork } from './callbacks.js'
import { outside } from './context.js'

/** Something that falls due. It is in at most one {@link Timers} at a time. */
export interface Timed {
	/** When, on the clock of {@link now}. Only {@link Timers} writes it. */
	due: number
	/** Its place in the heap; -1 while it is in none. Only {@link Timers} writes it. */
	slot: number
	/** Called when it is due. Returns when it is due again, or `undefined` if never. */
	onDue(now: number): number | undefined
}

/** Milliseconds on a clock that never goes back. */
export function now(): number {
	return Math.floor(performance.now())
}

/** How many are called before the event loop gets a turn: 10,000 connections due at once are not one long pause. */
const SLICE = 256

/**
 * All deadlines of a manager on one timer, which does not keep the process alive. A binary heap, so that taking
 * one out (a connection that ends) costs as little as putting one in.
 */
export class Timers {
	readonly #heap: Timed[] = []
	#timer: NodeJS.Timeout | undefined
	#armed = Number.POSITIVE_INFINITY

	/** How many are waiting. */
	get size(): number {
		return this.#heap.length
	}

	/** Calls `timed.onDue` at `due`, in place of an earlier arrangement. */
	add(timed: Timed, due: number): void {
		if (timed.slot >= 0) this.#takeOut(timed)
		this.#put(timed, due)
		this.#arm()
	}

	/** Forgets it. */
	remove(timed: Timed): void {
		if (timed.slot < 0) return
		this.#takeOut(timed)
		if (this.#heap.length === 0) this.#disarm()
	}

	#arm(): void {
		const first = this.#heap[0]
		if (first === undefined || first.due >= this.#armed) return
		this.#disarm()
		this.#armed = first.due
		const delay = Math.min(Math.max(first.due - now(), 1), 0x7fffffff)
		this.#timer = outside(setTimeout, this.#fire, delay).unref()
	}

	#disarm(): void {
		clearTimeout(this.#timer)
		this.#timer = undefined
		this.#armed = Number.POSITIVE_INFINITY
	}

	readonly #fire = (): void => {
		this.#disarm()
		const time = now()
		beginWork()
		try {
			for (let called = 0; called < SLICE; called++) {
				const first = this.#heap[0]
				if (first === undefined || first.due > time) break
				this.#takeOut(first)
				const again = first.onDue(time)
				// It may have been put back by what it did itself.
				if (again !== undefined && first.slot < 0) this.#put(first, Math.max(again, time + 1))
			}
		} finally {
			this.#arm()
			endWork()
		}
	}

	#put(timed: Timed, due: number): void {
		timed.due = due
		this.#siftUp(timed, this.#heap.push(timed) - 1)
	}

	#takeOut(timed: Timed): void {
		const { slot } = timed
		timed.slot = -1
		const last = this.#heap.pop()
		if (last === undefined || last === timed) return
		this.#siftUp(last, slot)
		if (last.slot === slot) this.#siftDown(last, slot)
	}

	#siftUp(timed: Timed, from: number): void {
		const heap = this.#heap
		let at = from
		while (at > 0) {
			const up = (at - 1) >> 1
			const parent = heap[up]
			if (parent === undefined || parent.due <= timed.due) break
			heap[at] = parent
			parent.slot = at
			at = up
		}
		heap[at] = timed
		timed.slot = at
	}

	#siftDown(timed: Timed, from: number): void {
		const heap = this.#heap
		let at = from
		for (;;) {
			let down = 2 * at + 1
			let child = heap[down]
			if (child === undefined) break
			const right = heap[down + 1]
			if (right !== undefined && right.due < child.due) {
				down++
				child = right
			}
			if (child.due >= timed.due) break
			heap[at] = child
			child.slot = at
			at = down
		}
		heap[at] = timed
		timed.slot = at
	}
}

/** One deadline with its own function: for the rare ones, where a connection has no place of its own for it. */
export class Deadline implements Timed {
	due = 0
	slot = -1

	constructor(readonly onDue: (now: number) => number | undefined) {}
}

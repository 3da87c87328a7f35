import { type Change, refusePromise } from './change.js'
import type { Copy } from './copy.js'

/** How changes are applied. */
export interface FoldRules<T> {
	/** Makes a copy that shares nothing; throws if the value cannot be held. */
	readonly copy: Copy
	readonly equals: (a: T, b: T) => boolean
	/** Throws if the value is too large. */
	readonly measure: (value: T) => void
}

/**
 * Changes applied one after the other on a base, each on its own copy of what the one before made. A change that
 * throws leaves the value as it was. Nothing is run before somebody asks, and nothing twice.
 *
 * Outcomes are provisional: they count once the store has confirmed that the base was the current value.
 */
export class Fold<T> {
	readonly #rules: FoldRules<T>
	readonly #measured: boolean
	readonly base: T
	readonly changes: Change<T>[]
	/** The value after each change that was run. */
	readonly #values: T[] = []
	/** What the change at an index threw. */
	readonly #errors = new Map<number, unknown>()
	#head: T

	/** @param measured - Whether each single value is measured, which takes time. */
	constructor(rules: FoldRules<T>, base: T, changes: Change<T>[] = [], measured = false) {
		this.#rules = rules
		this.#measured = measured
		this.base = base
		this.changes = changes
		this.#head = base
	}

	/** The value after the changes that were run: while one runs, the value before it. */
	get reached(): T {
		return this.#head
	}

	/** The value after all changes; the very base if they changed nothing. */
	head(): T {
		this.run(Number.POSITIVE_INFINITY)
		return this.#head
	}

	/**
	 * Runs changes until all were run or the time is over, but at least one.
	 *
	 * @param ms - How long.
	 * @returns Whether all were run.
	 */
	run(ms: number): boolean {
		const begun = performance.now()
		for (let index = this.#values.length; index < this.changes.length; index++) {
			const change = this.changes[index]
			if (change) this.#step(change, index)
			if (performance.now() - begun >= ms) break
		}
		return this.#values.length >= this.changes.length
	}

	/** Takes the changes that were not run off this fold. @returns them. */
	cut(): Change<T>[] {
		return this.changes.splice(this.#values.length)
	}

	/** Applies the same changes to another base, and those that are added to either later. */
	on(base: T, measured = false): Fold<T> {
		return new Fold(this.#rules, base, this.changes, measured)
	}

	/**
	 * Tells every change that was run its outcome.
	 *
	 * @param shown - What to give out in place of the head itself, which must stay untouched.
	 */
	settle(shown: () => T, onError: (error: unknown) => void): void {
		for (const [index, value] of this.#values.entries()) {
			const change = this.changes[index]
			if (!change || change.settled) continue
			if (this.#errors.has(index)) {
				const error = this.#errors.get(index)
				change.reject(error)
				onError(error)
			} else {
				change.resolve(value === this.#head ? shown() : value)
			}
		}
	}

	#step(change: Change<T>, index: number): void {
		// One that was rejected must not take effect any more.
		if (!change.settled) this.#apply(change, index)
		this.#values.push(this.#head)
	}

	#apply(change: Change<T>, index: number): void {
		const { copy, equals, measure } = this.#rules
		try {
			const result = change.run(copy(this.#head))
			refusePromise(result)
			const next = copy(result)
			if (equals(this.#head, next)) return
			if (this.#measured) measure(next)
			// The app's functions may have closed the state, which rejects the change.
			if (!change.settled) this.#head = next
		} catch (error) {
			this.#errors.set(index, error)
		}
	}
}

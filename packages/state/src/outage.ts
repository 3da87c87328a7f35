import type { StateStore } from '@evstream/core'

/** Distinct errors that are remembered of one outage. */
const REMEMBERED = 100

/**
 * What was reported of an outage of a store: thousands of states fail with the same error, and whoever is told of it
 * by one of them need not be told by the others.
 */
export class Outage {
	/** Receiver → messages of the errors it was told. */
	readonly #told = new Map<unknown, Set<string>>()

	/**
	 * @param receiver - Identifies who `report` tells.
	 * @param report - Called unless this outage already gave the receiver an error with the same message.
	 */
	report(error: unknown, receiver: unknown, report: (error: unknown) => void): void {
		const message = error instanceof Error ? error.message : String(error)
		const told = this.#told.get(receiver) ?? new Set()
		this.#told.set(receiver, told)
		if (told.has(message)) return
		if (told.size < REMEMBERED) told.add(message)
		report(error)
	}

	/** The store answered: the next error is news. */
	over(): void {
		if (this.#told.size > 0) this.#told.clear()
	}
}

const outages = new WeakMap<StateStore, Outage>()

/** The outage of a store, the same for everybody that uses it. */
export function outageOf(store: StateStore): Outage {
	const outage = outages.get(store) ?? new Outage()
	outages.set(store, outage)
	return outage
}

/** A view of a store has no outages of its own. */
export function shareOutage(view: StateStore, store: StateStore): void {
	outages.set(view, outageOf(store))
}

import type { StateStore } from '@evstream/core'
import { kindOf } from './error-kind.js'

/** Kinds of errors that are remembered of one outage, for each receiver. */
const REMEMBERED = 100
/** How long a user whose last attempt failed counts as cut off, in ms: one that was closed never succeeds. */
const FORGET_MS = 60_000

/** What all users of a store know of its outage. */
class SharedOutage {
	/** Receiver → kinds of errors it was told. */
	readonly told: Map<unknown, Set<string>> = new Map()
	/** Users whose last attempt failed → when. The one that failed longest ago is first. */
	readonly failing: Map<Outage, number> = new Map()
}

/**
 * What was reported of an outage of a store, as one of its users sees it: thousands of states fail with the same error,
 * and whoever is told of it by one of them need not be told by the others. The outage is over once nobody fails any more.
 */
export class Outage {
	readonly #shared: SharedOutage

	constructor(shared: SharedOutage = new SharedOutage()) {
		this.#shared = shared
	}

	/**
	 * @param receiver - Identifies who `report` tells.
	 * @param report - Called unless this outage already gave the receiver an error of the same kind.
	 */
	report(error: unknown, receiver: unknown, report: (error: unknown) => void): void {
		const { told, failing } = this.#shared
		this.#forget()
		failing.delete(this)
		failing.set(this, performance.now())
		const kinds = told.get(receiver) ?? new Set()
		told.set(receiver, kinds)
		const kind = kindOf(error)
		if (kinds.has(kind)) return
		if (kinds.size < REMEMBERED) kinds.add(kind)
		report(error)
	}

	/** The store answered this user. Once it has answered all of them the next error is news. */
	over(): void {
		this.#shared.failing.delete(this)
		this.#forget()
	}

	/** Another user of the same store. */
	fork(): Outage {
		return new Outage(this.#shared)
	}

	#forget(): void {
		const { told, failing } = this.#shared
		for (const [user, since] of failing) {
			if (performance.now() - since < FORGET_MS) return
			failing.delete(user)
		}
		if (told.size > 0) told.clear()
	}
}

const outages = new WeakMap<StateStore, Outage>()

/** The outage of a store for one more of its users. Errors are the same news for all of them. */
export function outageOf(store: StateStore): Outage {
	const outage = outages.get(store) ?? new Outage()
	outages.set(store, outage)
	return outage.fork()
}

/** A view of a store has no outages of its own. */
export function shareOutage(view: StateStore, store: StateStore): void {
	outages.set(view, outageOf(store))
}

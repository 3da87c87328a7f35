import { kindOf } from './error-kind.js'

/**
 * Reports each kind of error once per outage, so that a server that is away for hours does not fill a log. For whatever
 * tries again and again.
 */
export class Outage {
	readonly #report: (error: unknown) => void
	readonly #seen = new Set<string>()

	/** @param report Gets the first error of each kind in an outage, twenty kinds at most. */
	constructor(report: (error: unknown) => void) {
		this.#report = report
	}

	/** Reports the error unless this outage already gave one of its kind: names and numbers do not count. */
	readonly report = (error: unknown): void => {
		const kind = kindOf(error)
		if (this.#seen.has(kind) || this.#seen.size >= 20) return
		this.#seen.add(kind)
		this.#report(error)
	}

	/** It works again: the next error is news. */
	readonly over = (): void => {
		this.#seen.clear()
	}
}

/**
 * Reports each distinct error once per outage, so that a server that is away for hours does not fill a log. For whatever
 * tries again and again.
 */
export class Outage {
	readonly #report: (error: unknown) => void
	readonly #seen = new Set<string>()

	/** @param report Gets the first error of each kind in an outage, twenty kinds at most. */
	constructor(report: (error: unknown) => void) {
		this.#report = report
	}

	/** Reports the error unless this outage already gave one with the same message. */
	readonly report = (error: unknown): void => {
		const message = error instanceof Error ? error.message : String(error)
		if (this.#seen.has(message) || this.#seen.size >= 20) return
		this.#seen.add(message)
		this.#report(error)
	}

	/** It works again: the next error is news. */
	readonly over = (): void => {
		this.#seen.clear()
	}
}

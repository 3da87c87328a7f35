/** Reports an error once, and not again until something else failed or it worked in between. */
export class ErrorReport {
	readonly #report: (error: unknown) => void
	#last: string | undefined

	constructor(report: (error: unknown) => void) {
		this.#report = report
	}

	/** It failed. */
	failed(error: unknown): void {
		const text = String(error)
		if (text === this.#last) return
		this.#last = text
		this.#report(error)
	}

	/** It works. */
	worked(): void {
		this.#last = undefined
	}
}

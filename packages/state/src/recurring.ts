/** Calls a function every so many ms ± 20 %, so that instances do not do it all at once. Never keeps the process. */
export class Recurring {
	readonly #every: number
	readonly #call: () => void
	#timer: NodeJS.Timeout | undefined

	constructor(every: number | false, call: () => void) {
		this.#every = every === false ? 0 : every
		this.#call = call
		if (every !== false) this.#arm()
	}

	stop(): void {
		clearTimeout(this.#timer)
	}

	#arm(): void {
		this.#timer = setTimeout(
			() => {
				this.#arm()
				this.#call()
			},
			this.#every * (0.8 + Math.random() * 0.4),
		)
		this.#timer.unref()
	}
}

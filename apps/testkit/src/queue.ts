interface Waiter<T> {
	resolve(value: T): void
	timer: NodeJS.Timeout
}

/** Values that a test pushes from a callback and takes with `await`, in order. */
export class AwaitableQueue<T> {
	// Boxed, so that a value that is undefined is told apart from none.
	readonly #values: { value: T }[] = []
	readonly #waiters: Waiter<T>[] = []

	/** How many values nobody took yet. */
	get size(): number {
		return this.#values.length
	}

	/** Adds a value, or gives it to the one who waits longest. It is bound, so it can be a callback itself. */
	readonly push = (value: T): void => {
		const waiter = this.#waiters.shift()
		if (!waiter) {
			this.#values.push({ value })
			return
		}
		clearTimeout(waiter.timer)
		waiter.resolve(value)
	}

	/**
	 * Takes the oldest value; waits for one if there is none.
	 *
	 * @param timeout Milliseconds, default 5000.
	 * @throws Error when no value came in time.
	 */
	next(timeout = 5000): Promise<T> {
		const first = this.#values.shift()
		if (first) return Promise.resolve(first.value)
		return new Promise((resolve, reject) => {
			const waiter: Waiter<T> = {
				resolve,
				timer: setTimeout(() => {
					this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
					reject(new Error(`Nothing was pushed within ${timeout} ms`))
				}, timeout),
			}
			this.#waiters.push(waiter)
		})
	}

	/** Takes everything that is there now. */
	drain(): T[] {
		return this.#values.splice(0).map(({ value }) => value)
	}
}

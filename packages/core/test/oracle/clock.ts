/** Counts turns of the event loop, as far as anybody asks, and remembers when something last happened. */
export class Clock {
	#turn = 0
	#armed = false
	#moved = performance.now()

	/** The present turn. It is another one once the event loop had the chance to move bytes. */
	get turn(): number {
		if (!this.#armed) {
			this.#armed = true
			setImmediate(() => {
				this.#armed = false
				this.#turn++
			})
		}
		return this.#turn
	}

	/** Something happened: what is waited for may still come. */
	move(): void {
		this.#moved = performance.now()
	}

	/** Lets the event loop run. */
	next(): Promise<void> {
		return new Promise((resolve) => setImmediate(resolve))
	}

	/** Waits until the condition holds; `false` if for `patience` ms nothing happened that could bring it about. */
	async until(condition: () => boolean, patience: number): Promise<boolean> {
		this.move()
		for (let turns = 0; !condition(); turns++) {
			if (performance.now() - this.#moved > patience) return false
			if (turns < 200) await this.next()
			else await new Promise((resolve) => setTimeout(resolve, 1))
		}
		return true
	}
}

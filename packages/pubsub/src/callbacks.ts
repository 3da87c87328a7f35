import { keepContext } from './context.js'

/** Callbacks of one event, each run in the context in which it was added. One that throws is reported and stops nobody. */
export class Callbacks {
	readonly #callbacks = new Set<{ callback: () => void }>()
	readonly #onError: (error: unknown) => void

	constructor(onError: (error: unknown) => void) {
		this.#onError = onError
	}

	/** Adds a callback; returns its undo. */
	add(callback: () => void): () => void {
		const own = { callback: keepContext(callback) }
		this.#callbacks.add(own)
		return () => this.#callbacks.delete(own)
	}

	clear(): void {
		this.#callbacks.clear()
	}

	readonly call = (): void => {
		for (const { callback } of this.#callbacks) {
			try {
				const result: unknown = callback()
				if (result instanceof Promise) result.catch(this.#onError)
			} catch (error) {
				this.#onError(error)
			}
		}
	}
}

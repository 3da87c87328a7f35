import { keepContext } from './context.js'

/** One channel: who listens, and whether Redis confirmed it on the current connection. */
export class Subscription {
	readonly #listeners = new Set<{ handler: (payload: string) => void }>()
	#waiters: { resolve: () => void; reject: (error: unknown) => void }[] = []
	#isConfirmed = false
	#wasConfirmed = false

	/** `true` while it is confirmed on the current connection. */
	get isConfirmed(): boolean {
		return this.#isConfirmed
	}

	/** `true` once Redis confirmed it, on whichever connection. */
	get wasConfirmed(): boolean {
		return this.#wasConfirmed
	}

	/** `true` when nobody listens. */
	get isEmpty(): boolean {
		return this.#listeners.size === 0
	}

	/** Adds a handler, to be run in the current context, counted even if it is there already; returns its undo. */
	add(handler: (payload: string) => void): () => void {
		const listener = { handler: keepContext(handler) }
		this.#listeners.add(listener)
		return () => this.#listeners.delete(listener)
	}

	/** Resolves when the current connection, or the next one, has it confirmed. */
	whenConfirmed(): Promise<void> {
		if (this.#isConfirmed) return Promise.resolve()
		return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
	}

	confirm(): void {
		this.#isConfirmed = true
		this.#wasConfirmed = true
		for (const { resolve } of this.#waiters) resolve()
		this.#waiters = []
	}

	/** The connection is gone. */
	lose(): void {
		this.#isConfirmed = false
	}

	refuse(error: unknown): void {
		for (const { reject } of this.#waiters) reject(error)
		this.#waiters = []
	}

	/** Calls every handler; one that fails, at once or later, is reported and stops nobody. */
	deliver(payload: string, onError: (error: unknown) => void): void {
		for (const { handler } of this.#listeners) {
			try {
				const result: unknown = handler(payload)
				if (result instanceof Promise) result.catch(onError)
			} catch (error) {
				onError(error)
			}
		}
	}
}

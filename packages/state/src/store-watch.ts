import type { StateStore, StateWatcher, Unwatch } from '@evstream/core'

/** Hears of the store what becomes of a state. A try that fails is reported, and made again when somebody asks. */
export class StoreWatch {
	readonly #store: StateStore
	readonly #name: string
	readonly #watcher: StateWatcher
	readonly #onError: (error: unknown) => void
	#begun = false
	#unwatch: Unwatch | undefined
	#closed = false

	constructor(store: StateStore, name: string, watcher: StateWatcher, onError: (error: unknown) => void) {
		this.#store = store
		this.#name = name
		this.#watcher = watcher
		this.#onError = onError
	}

	/** Does nothing if it has begun. What was committed before it hears anything counts as missed. */
	async begin(): Promise<void> {
		if (this.#begun) return
		this.#begun = true
		try {
			const unwatch = await this.#store.watch(this.#name, this.#watcher)
			if (this.#closed) return unwatch()
			this.#unwatch = unwatch
			this.#watcher.missed()
		} catch (error) {
			this.#begun = false
			if (!this.#closed) this.#onError(error)
		}
	}

	close(): void {
		this.#closed = true
		this.#unwatch?.()
	}
}

import type { Incarnation, StateStore } from '@evstream/core'
import type { ListedState } from './listed-state.js'
import type { Outage } from './outage.js'
import { Worker } from './worker.js'

interface Removal {
	readonly name: string
	/** The state that was removed here, if there was one. */
	readonly view: ListedState | undefined
	/** What is removed: decided once, so that no repetition means a state that was created since. */
	meant: Incarnation | undefined
	/** Resolves once the store confirmed it. */
	readonly done: Promise<void>
	finish(): void
}

/** Removals on their way to the store, one after the other. One that fails goes behind the others. */
export class Removals {
	readonly #store: StateStore
	readonly #removed: (name: string) => void
	readonly #outage: Outage
	readonly #onError: (error: unknown) => void
	readonly #worker: Worker
	/** The first one is on its way. */
	readonly #waiting: Removal[] = []
	#closed = false

	/** @param removed - Called with each name once the store confirmed its removal. */
	constructor(
		store: StateStore,
		outage: Outage,
		removed: (name: string) => void,
		onError: (error: unknown) => void,
	) {
		this.#store = store
		this.#outage = outage
		this.#removed = removed
		this.#onError = onError
		this.#worker = new Worker(() => this.#step(), onError)
	}

	/** Whether a removal of the name waits. */
	has(name: string): boolean {
		return this.#waiting.some((removal) => removal.name === name)
	}

	/** Resolves once no removal of the name waits that was asked for until now. */
	async done(name: string): Promise<void> {
		await Promise.all(this.#waiting.filter((removal) => removal.name === name).map(({ done }) => done))
	}

	add(name: string, view: ListedState | undefined): void {
		let finish = (): void => {}
		const done = new Promise<void>((resolve) => {
			finish = resolve
		})
		this.#waiting.push({ name, view, meant: undefined, done, finish })
		this.#worker.kick()
	}

	/** Those that wait are tried once more. */
	close(): void {
		this.#closed = true
		this.#worker.wake()
	}

	/** @returns `false` if there was nothing to do. */
	async #step(): Promise<boolean> {
		const removal = this.#waiting[0]
		if (removal === undefined) return false
		try {
			await this.#remove(removal)
			this.#outage.over()
		} catch (error) {
			this.#waiting.shift()
			if (this.#closed) this.#onError(error)
			else {
				this.#waiting.push(removal)
				throw error
			}
			return true
		}
		this.#waiting.shift()
		removal.finish()
		this.#removed(removal.name)
		return true
	}

	async #remove(removal: Removal): Promise<void> {
		const { name, view } = removal
		// A creation on its way may tell what it created.
		await view?.creating
		removal.meant ??= view?.newest ?? (await this.#find(name))
		await this.#store.remove(name, removal.meant)
	}

	async #find(name: string): Promise<Incarnation> {
		const { state, next } = await this.#store.look(name)
		return state ?? { born: '', version: next }
	}
}

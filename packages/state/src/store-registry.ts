import { randomUUID } from 'node:crypto'
import type { EvStateAdapter, StateStore, Unwatch } from '@evstream/core'
import { ListedState, type ListedStateOwner } from './listed-state.js'
import { Recurring } from './recurring.js'
import type { LocalStates, Registry } from './registry.js'
import { Worker } from './worker.js'

interface Removal {
	readonly name: string
	readonly id: { readonly writer: string; readonly number: number }
	/** A registration that was on its way before. */
	readonly after: Promise<unknown>
	/** Resolves once the store confirmed it. */
	readonly done: Promise<void>
	finish(): void
}

/**
 * The store's list is the truth: whenever it may have changed it is read, and the states of this instance follow
 * it. A state that is missing on it was removed if the store has a tombstone; without one the store lost its data,
 * and the state is put back.
 */
export class StoreRegistry implements Registry, ListedStateOwner {
	readonly #store: StateStore
	readonly #local: LocalStates
	readonly #onError: (error: unknown) => void
	readonly #worker: Worker
	readonly #checks: Recurring
	readonly #views = new Map<string, ListedState>()
	/** In order; the first one is on its way, and only once it is done it is taken off. */
	readonly #removals: Removal[] = []
	#reconcileWanted = true
	#watching = false
	#unwatch: Unwatch | undefined
	#closed = false

	constructor(
		store: StateStore,
		local: LocalStates,
		checkInterval: number | false,
		onError: (error: unknown) => void,
	) {
		this.#store = store
		this.#local = local
		this.#onError = onError
		this.#worker = new Worker(() => this.#step(), onError)
		this.#checks = new Recurring(checkInterval, () => this.changed())
		this.changed()
	}

	adapter(name: string, follows: boolean): EvStateAdapter {
		this.#forget(name)
		const view = new ListedState(this.#store, this, name, follows)
		this.#views.set(name, view)
		return { states: view }
	}

	/** It puts itself on the list when it is loaded. */
	created(): void {}

	remove(name: string): void {
		const view = this.#forget(name)
		let finish = (): void => {}
		const done = new Promise<void>((resolve) => {
			finish = resolve
		})
		const id = { writer: randomUUID(), number: 1 }
		this.#removals.push({ name, id, after: view?.registering ?? Promise.resolve(), done, finish })
		this.#worker.kick()
	}

	/** The list may have changed. */
	changed(): void {
		if (this.#closed) return
		this.#reconcileWanted = true
		if (!this.#watching) void this.#watch()
		this.#worker.wake()
	}

	async removed(name: string): Promise<void> {
		await this.#removals.findLast((removal) => removal.name === name)?.done
	}

	gone(view: ListedState): void {
		if (this.#views.get(view.name) !== view) return
		this.#forget(view.name)
		this.#local.drop(view.name)
	}

	/** Removals that wait are tried once more. */
	close(): void {
		this.#closed = true
		this.#checks.stop()
		this.#unwatch?.()
		for (const view of this.#views.values()) view.cancelled = true
		this.#worker.wake()
	}

	#forget(name: string): ListedState | undefined {
		const view = this.#views.get(name)
		if (view) view.cancelled = true
		this.#views.delete(name)
		return view
	}

	/** @returns `false` if there was nothing to do. */
	async #step(): Promise<boolean> {
		const removal = this.#removals[0]
		if (removal) {
			await removal.after
			try {
				await this.#store.remove(removal.name, removal.id)
			} catch (error) {
				if (!this.#closed) throw error
				this.#onError(error)
			}
			this.#removals.shift()
			removal.finish()
		} else if (this.#reconcileWanted && !this.#closed) {
			this.#reconcileWanted = false
			try {
				await this.#reconcile()
			} catch (error) {
				this.#reconcileWanted = true
				throw error
			}
		} else return false
		return true
	}

	async #reconcile(): Promise<void> {
		const list = await this.#store.list()
		if (this.#closed) return
		// Something was removed here since: the answer is old.
		if (this.#removals.length > 0) {
			this.#reconcileWanted = true
			return
		}
		for (const { name, initial } of list) {
			if (!this.#local.has(name)) this.#local.follow(name, initial)
		}
		const listed = new Set(list.map(({ name }) => name))
		for (const [name, view] of [...this.#views]) {
			// Not loaded yet: it will put itself on the list, or find that it was removed.
			if (listed.has(name) || view.latest === undefined || view.cancelled) continue
			await view.restore(name, view.latest)
		}
	}

	async #watch(): Promise<void> {
		this.#watching = true
		try {
			const unwatch = await this.#store.watchList({ changed: () => this.changed() })
			if (this.#closed) return unwatch()
			this.#unwatch = unwatch
			this.changed()
		} catch (error) {
			this.#watching = false
			if (!this.#closed) this.#onError(error)
		}
	}
}

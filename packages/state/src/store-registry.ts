import type { EvStateAdapter, ListChange, StateStore, Unwatch } from '@evstream/core'
import { ListedState, type ListedStateOwner } from './listed-state.js'
import { type Outage, outageOf } from './outage.js'
import { Recurring } from './recurring.js'
import type { LocalStates, Registry } from './registry.js'
import { Removals } from './removals.js'
import { Slices } from './slices.js'
import { Worker } from './worker.js'

/** How many changes of the list are remembered, to know whether a look at it came before or after them. */
const REMEMBERED = 1000

/**
 * The store's list is the truth. It is read as a whole at the start and when changes may have been missed. A change
 * names what was created or removed, and only that is looked at. The list's stamp tells whether one was missed.
 *
 * A state that is missing on the list was removed if the store has a tombstone; without one the store lost its data,
 * and the state is put back.
 */
export class StoreRegistry implements Registry, ListedStateOwner {
	readonly #store: StateStore
	readonly #local: LocalStates
	readonly #outage: Outage
	readonly #onError: (error: unknown) => void
	readonly #worker: Worker
	readonly #removals: Removals
	readonly #checks: Recurring
	readonly #views = new Map<string, ListedState>()
	/** The whole list is to be read. */
	#listWanted = true
	/** What the whole list was read at, and the changes since. */
	#stamp: string | undefined
	readonly #changes = new Map<string, string>()
	/** Names to look at. */
	readonly #names = new Set<string>()
	/** On the list, but they could not be created here. */
	readonly #unfollowed = new Set<string>()
	/** Removed here since the list began to be read. */
	readonly #removedSince = new Set<string>()
	#watching = false
	#unwatch: Unwatch | undefined
	#closed = false

	/** @param receiver - Identifies who `onError` tells. */
	constructor(
		store: StateStore,
		local: LocalStates,
		checkInterval: number | false,
		onError: (error: unknown) => void,
		receiver: unknown = onError,
	) {
		this.#store = store
		this.#local = local
		this.#outage = outageOf(store)
		this.#onError = (error) => this.#outage.report(error, receiver, onError)
		this.#worker = new Worker(() => this.#step(), this.#onError)
		const removals = outageOf(store)
		this.#removals = new Removals(
			store,
			removals,
			(name) => this.#changed(name),
			(error) => removals.report(error, receiver, onError),
		)
		this.#checks = new Recurring(checkInterval, () => this.#check())
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
		this.#removedSince.add(name)
		this.#removals.add(name, this.#forget(name))
	}

	/** Anything may have changed. */
	changed(): void {
		if (this.#closed) return
		this.#stamp = undefined
		this.#check()
	}

	removed(name: string): Promise<void> {
		return this.#removals.done(name)
	}

	gone(view: ListedState): void {
		if (this.#views.get(view.name) !== view) return
		this.#forget(view.name)
		this.#local.drop(view.name)
		// While that answer was on its way another instance may have created it again, which was taken for this one.
		this.#changed(view.name)
	}

	/** Removals that wait are tried once more. */
	close(): void {
		this.#closed = true
		this.#checks.stop()
		this.#unwatch?.()
		for (const view of this.#views.values()) view.cancelled = true
		this.#worker.stop()
		this.#removals.close()
	}

	#forget(name: string): ListedState | undefined {
		const view = this.#views.get(name)
		if (view) view.cancelled = true
		this.#views.delete(name)
		return view
	}

	/** Sees whether the list is the one that was read, with the changes since. */
	#check(): void {
		if (this.#closed) return
		this.#listWanted = true
		for (const name of this.#unfollowed) this.#names.add(name)
		if (!this.#watching) void this.#watch()
		this.#worker.wake()
	}

	#changed(name: string): void {
		if (this.#closed) return
		this.#names.add(name)
		this.#worker.kick()
	}

	/** @returns `false` if there was nothing to do. */
	async #step(): Promise<boolean> {
		const [name] = this.#names
		if (this.#listWanted) await this.#readList()
		else if (name !== undefined) await this.#lookAt(name)
		else return false
		this.#outage.over()
		return true
	}

	async #readList(): Promise<void> {
		this.#listWanted = false
		this.#removedSince.clear()
		try {
			const list = await this.#store.list(this.#newestStamp())
			if (this.#closed || list === undefined) return
			await this.#followAll(list.states)
			await this.#restoreMissing(new Set(list.states.map(({ name }) => name)))
			this.#stamp = list.stamp
		} catch (error) {
			this.#listWanted = true
			throw error
		}
	}

	async #followAll(states: Iterable<{ readonly name: string; readonly initial: string }>): Promise<void> {
		const slices = new Slices()
		for (const { name, initial } of states) {
			if (slices.over) await slices.next()
			if (this.#closed) return
			this.#follow(name, initial)
		}
	}

	#follow(name: string, initial: string): void {
		if (this.#removedSince.has(name) || this.#removals.has(name) || this.#local.has(name)) return
		this.#local.follow(name, initial)
		if (this.#local.has(name)) this.#unfollowed.delete(name)
		else this.#unfollowed.add(name)
	}

	async #restoreMissing(listed: ReadonlySet<string>): Promise<void> {
		for (const [name, view] of [...this.#views]) {
			if (!listed.has(name)) await this.#restore(view)
		}
	}

	async #restore(view: ListedState): Promise<void> {
		// Not loaded yet: it will put itself on the list, or find that it was removed.
		if (view.confirmed === undefined || view.cancelled) return
		await view.restore(view.name, view.confirmed)
	}

	async #lookAt(name: string): Promise<void> {
		this.#names.delete(name)
		this.#removedSince.clear()
		try {
			const { listed } = await this.#store.look(name)
			if (this.#closed) return
			const view = this.#views.get(name)
			if (listed !== undefined) this.#follow(name, listed)
			else {
				this.#unfollowed.delete(name)
				if (view) await this.#restore(view)
			}
		} catch (error) {
			this.#names.add(name)
			throw error
		}
	}

	async #watch(): Promise<void> {
		this.#watching = true
		try {
			const unwatch = await this.#store.watchList({
				changed: (change) => this.#hear(change),
				missed: () => this.changed(),
			})
			if (this.#closed) return unwatch()
			this.#unwatch = unwatch
			this.changed()
		} catch (error) {
			this.#watching = false
			if (!this.#closed) this.#onError(error)
		}
	}

	#hear({ name, before, after }: ListChange): void {
		this.#changes.set(before, after)
		if (this.#changes.size > REMEMBERED) {
			for (const oldest of this.#changes.keys()) {
				this.#changes.delete(oldest)
				break
			}
		}
		this.#changed(name)
	}

	/** The stamp of the list that was read with all changes since that follow each other without a gap. */
	#newestStamp(): string | undefined {
		for (let stamp = this.#stamp; stamp !== undefined; ) {
			this.#stamp = stamp
			const after = this.#changes.get(stamp)
			// Each is taken once, so what is published can make no circle.
			this.#changes.delete(stamp)
			stamp = after
		}
		return this.#stamp
	}
}

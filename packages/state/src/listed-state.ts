import {
	type CommitResult,
	EvClosedError,
	type RegisteredState,
	type RegistryWatcher,
	type StatePlace,
	type StateStore,
	type StateWatcher,
	type StoredState,
	type Unwatch,
} from '@evstream/core'
import { shareOutage } from './outage.js'

/** What a {@link ListedState} needs of the registry. */
export interface ListedStateOwner {
	/** Resolves once no earlier removal of the name is on its way. */
	removed(name: string): Promise<void>
	/** The store says that the state was removed. */
	gone(view: ListedState): void
}

/** The store as one state of an `EvStateManager` sees it: a state that lives as long as it is on the list. */
export class ListedState implements StateStore {
	readonly name: string
	/** The newest version that the store gave in an answer: what can be put back. */
	confirmed: StoredState | undefined
	/** The newest version that came by, also in a message: what a removal means. */
	newest: StoredState | undefined
	/** It was let go of here: nothing of it may reach the store any more. */
	cancelled = false
	/** Ends when no creation is on its way. */
	creating: Promise<unknown> = Promise.resolve()
	readonly #store: StateStore
	readonly #owner: ListedStateOwner
	readonly #follows: boolean
	/** What it is on the list with. */
	#entry: RegisteredState

	/** @param follows - Another instance created it. */
	constructor(store: StateStore, owner: ListedStateOwner, name: string, follows: boolean) {
		this.#store = store
		this.#owner = owner
		this.name = name
		this.#follows = follows
		this.#entry = { name, initial: 'null' }
		shareOutage(this, store)
	}

	/** A state that is not on the list yet counts as not created. */
	async look(name: string): Promise<StatePlace> {
		await this.#owner.removed(name)
		if (this.cancelled) throw this.#closed()
		const place = await this.#store.look(name)
		if (this.#follows && place.removed) throw this.#gone()
		if (place.listed !== undefined) this.#entry = { name, initial: place.listed }
		else if (!this.#follows) return { ...place, state: undefined }
		this.#confirm(place.state)
		return place
	}

	async create(name: string, initial: string, place: StatePlace): Promise<StoredState> {
		if (this.cancelled) throw this.#closed()
		this.#entry = { name, initial: place.listed ?? initial }
		const creating = Promise.resolve(this.#store.create(name, this.#entry.initial, place, true))
		this.creating = creating.catch(() => {})
		const created = this.#confirm(await creating)
		if (created) return created
		throw this.#gone()
	}

	async read(name: string): Promise<StoredState | undefined> {
		return this.#confirm(await this.#store.read(name))
	}

	async commit(...args: Parameters<StateStore['commit']>): Promise<CommitResult> {
		const result = await this.#store.commit(...args)
		this.#confirm(result.state)
		return result
	}

	async restore(name: string, state: StoredState): Promise<StoredState | undefined> {
		if (this.cancelled) throw this.#closed()
		const now = this.#confirm(await this.#store.restore(name, state, this.#entry))
		if (!now) this.#owner.gone(this)
		return now
	}

	async watch(name: string, watcher: StateWatcher): Promise<Unwatch> {
		return this.#store.watch(name, {
			changed: (state) => {
				this.#hear(state)
				watcher.changed(state)
			},
			missed: () => watcher.missed(),
		})
	}

	remove(...args: Parameters<StateStore['remove']>): ReturnType<StateStore['remove']> {
		return this.#store.remove(...args)
	}

	list(known?: string): ReturnType<StateStore['list']> {
		return this.#store.list(known)
	}

	watchList(watcher: RegistryWatcher): ReturnType<StateStore['watchList']> {
		return this.#store.watchList(watcher)
	}

	#confirm(state: StoredState | undefined): StoredState | undefined {
		if (state && state.version >= (this.confirmed?.version ?? 0)) this.confirmed = state
		if (state) this.#hear(state)
		return state
	}

	#hear(state: StoredState): void {
		if (state.version >= (this.newest?.version ?? 0)) this.newest = state
	}

	#gone(): EvClosedError {
		this.#owner.gone(this)
		return this.#closed()
	}

	#closed(): EvClosedError {
		return new EvClosedError(`The state "${this.name}"`)
	}
}

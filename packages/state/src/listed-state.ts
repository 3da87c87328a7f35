import { randomUUID } from 'node:crypto'
import {
	type CommitResult,
	EvClosedError,
	type RegistryWatcher,
	type StateStore,
	type StateWatcher,
	type StoredState,
	type Unwatch,
} from '@evstream/core'

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
	/** The newest version that came by: what can be put back. */
	latest: StoredState | undefined
	/** It was let go of here: nothing of it may reach the store any more. */
	cancelled = false
	/** Ends when no registration is on its way. */
	registering: Promise<unknown> = Promise.resolve()
	readonly #store: StateStore
	readonly #owner: ListedStateOwner
	readonly #follows: boolean
	/** As JSON. */
	#initial = 'null'
	readonly #id = { writer: randomUUID(), number: 1 }

	/** @param follows - Another instance created it: it is not put on the list by this one. */
	constructor(store: StateStore, owner: ListedStateOwner, name: string, follows: boolean) {
		this.#store = store
		this.#owner = owner
		this.name = name
		this.#follows = follows
	}

	async load(name: string, initial: string): Promise<StoredState> {
		this.#initial = initial
		await this.#owner.removed(name)
		if (this.cancelled) throw this.#closed()
		const loading = this.#follows
			? this.restore(name, { version: 1, stamp: `follow.${randomUUID()}`, value: initial })
			: Promise.resolve(this.#store.register({ name, initial }, this.#id))
		this.registering = loading.catch(() => {})
		const loaded = this.#see(await loading)
		if (loaded) return loaded
		this.#owner.gone(this)
		throw this.#closed()
	}

	async read(name: string): Promise<StoredState | undefined> {
		return this.#see(await this.#store.read(name))
	}

	async commit(...args: Parameters<StateStore['commit']>): Promise<CommitResult> {
		const result = await this.#store.commit(...args)
		this.#see(result.state)
		return result
	}

	async restore(name: string, state: StoredState): Promise<StoredState | undefined> {
		if (this.cancelled) throw this.#closed()
		const now = this.#see(await this.#store.restore(name, state, { name, initial: this.#initial }))
		if (!now) this.#owner.gone(this)
		return now
	}

	async watch(name: string, watcher: StateWatcher): Promise<Unwatch> {
		return this.#store.watch(name, {
			changed: (state) => {
				this.#see(state)
				watcher.changed(state)
			},
			missed: () => watcher.missed(),
		})
	}

	register(...args: Parameters<StateStore['register']>): ReturnType<StateStore['register']> {
		return this.#store.register(...args)
	}

	remove(...args: Parameters<StateStore['remove']>): ReturnType<StateStore['remove']> {
		return this.#store.remove(...args)
	}

	list(): ReturnType<StateStore['list']> {
		return this.#store.list()
	}

	watchList(watcher: RegistryWatcher): ReturnType<StateStore['watchList']> {
		return this.#store.watchList(watcher)
	}

	#see(state: StoredState | undefined): StoredState | undefined {
		if (state && state.version >= (this.latest?.version ?? 0)) this.latest = state
		return state
	}

	#closed(): EvClosedError {
		return new EvClosedError(`The state "${this.name}"`)
	}
}

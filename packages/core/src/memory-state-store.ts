import type {
	CommitResult,
	OperationId,
	RegisteredState,
	RegistryWatcher,
	StateStore,
	StateWatcher,
	StoredState,
	Unwatch,
} from './state-store.js'

/** How many writers' last operations, and how many tombstones, are remembered. */
const REMEMBERED = 10_000

/**
 * The states of one process, and the executable specification of {@link StateStore}: every method answers at
 * once, and watchers are called before it returns. Several `EvState`s on one store behave like several instances
 * on one Redis, which makes it the store for tests of your own.
 *
 * Nothing outlives the process.
 */
export class MemoryStateStore implements StateStore {
	readonly #states = new Map<string, StoredState>()
	/** Name → the version a state was removed at, oldest first. */
	readonly #removed = new Map<string, number>()
	readonly #listed = new Map<string, RegisteredState>()
	/** Writer → the number of its last operation, oldest first. */
	readonly #done = new Map<string, number>()
	readonly #watchers = new Map<string, Set<StateWatcher>>()
	readonly #listWatchers = new Set<RegistryWatcher>()
	#created = 0

	/** {@inheritDoc StateStore.load} */
	load(name: string, initial: string): StoredState {
		const found = this.#states.get(name)
		if (found) return found
		const version = (this.#removed.get(name) ?? 0) + 1
		this.#removed.delete(name)
		return this.#write(name, { version, stamp: `load.${++this.#created}`, value: initial })
	}

	/** {@inheritDoc StateStore.read} */
	read(name: string): StoredState | undefined {
		return this.#states.get(name)
	}

	/** {@inheritDoc StateStore.commit} */
	commit(name: string, expected: StoredState, value: string, id: OperationId): CommitResult {
		const state = this.#states.get(name)
		const last = this.#done.get(id.writer) ?? 0
		if (last >= id.number) return { committed: last === id.number, state }
		if (!state || state.version !== expected.version || state.stamp !== expected.stamp) {
			return { committed: false, state }
		}
		this.#remember(id)
		const next = { version: state.version + 1, stamp: `${id.writer}.${id.number}`, value }
		return { committed: true, state: this.#write(name, next) }
	}

	/** {@inheritDoc StateStore.restore} */
	restore(name: string, state: StoredState, listed?: RegisteredState): StoredState | undefined {
		if (this.#removed.has(name)) return undefined
		const found = this.#states.get(name)
		const now = found && found.version >= state.version ? found : this.#write(name, state)
		if (listed) this.#enlist(listed)
		return now
	}

	/** {@inheritDoc StateStore.watch} */
	watch(name: string, watcher: StateWatcher): Unwatch {
		const watchers = this.#watchers.get(name) ?? new Set()
		this.#watchers.set(name, watchers.add(watcher))
		return () => {
			watchers.delete(watcher)
			if (watchers.size === 0 && this.#watchers.get(name) === watchers) this.#watchers.delete(name)
		}
	}

	/** {@inheritDoc StateStore.register} */
	register(state: RegisteredState, id: OperationId): StoredState | undefined {
		if ((this.#done.get(id.writer) ?? 0) >= id.number) return this.#states.get(state.name)
		this.#remember(id)
		const loaded = this.load(state.name, state.initial)
		this.#enlist(state)
		return loaded
	}

	/** {@inheritDoc StateStore.remove} */
	remove(name: string, id: OperationId): void {
		if ((this.#done.get(id.writer) ?? 0) >= id.number) return
		this.#remember(id)
		const version = this.#states.get(name)?.version ?? this.#removed.get(name) ?? 0
		rememberNewest(this.#removed, name, version)
		this.#states.delete(name)
		const wasListed = this.#listed.delete(name)
		for (const watcher of [...(this.#watchers.get(name) ?? [])]) watcher.missed()
		if (wasListed) this.#listChanged()
	}

	/** {@inheritDoc StateStore.list} */
	list(): readonly RegisteredState[] {
		return [...this.#listed.values()]
	}

	/** {@inheritDoc StateStore.watchList} */
	watchList(watcher: RegistryWatcher): Unwatch {
		this.#listWatchers.add(watcher)
		return () => {
			this.#listWatchers.delete(watcher)
		}
	}

	#write(name: string, state: StoredState): StoredState {
		this.#states.set(name, state)
		for (const watcher of [...(this.#watchers.get(name) ?? [])]) watcher.changed(state)
		return state
	}

	#enlist(state: RegisteredState): void {
		if (this.#listed.has(state.name)) return
		this.#listed.set(state.name, state)
		this.#listChanged()
	}

	#listChanged(): void {
		for (const watcher of [...this.#listWatchers]) watcher.changed()
	}

	#remember(id: OperationId): void {
		rememberNewest(this.#done, id.writer, id.number)
	}
}

function rememberNewest(map: Map<string, number>, key: string, value: number): void {
	map.delete(key)
	map.set(key, value)
	if (map.size <= REMEMBERED) return
	for (const oldest of map.keys()) {
		map.delete(oldest)
		return
	}
}

import type {
	CommitOptions,
	CommitResult,
	Incarnation,
	OperationId,
	RegisteredState,
	RegistryWatcher,
	StateList,
	StatePlace,
	StateStore,
	StateWatcher,
	StoredState,
	Unwatch,
} from './state-store.js'

/** How many writers' last operations, and how many tombstones, are remembered. */
const REMEMBERED = 10_000

/** The longest a writer may have the turn, in ms. */
const LONGEST_TURN = 1000

/**
 * The states of one process, and the executable specification of {@link StateStore}: every method answers at
 * once, and watchers are called before it returns. Several `EvState`s on one store behave like several instances
 * on one Redis, which makes it the store for tests of your own.
 *
 * Nothing outlives the process.
 */
export class MemoryStateStore implements StateStore {
	readonly #states = new Map<string, StoredState>()
	/** Oldest first. */
	readonly #removed = new Map<string, Incarnation>()
	readonly #listed = new Map<string, RegisteredState>()
	/** Writer → the number of its last operation, oldest first. */
	readonly #done = new Map<string, number>()
	/** Name → the writer that commits next, and until when, in the time of `performance.now()`. */
	readonly #turns = new Map<string, { readonly writer: string; readonly until: number }>()
	readonly #watchers = new Map<string, Set<StateWatcher>>()
	readonly #listWatchers = new Set<RegistryWatcher>()
	/** Two stores have no stamp in common: one may take the place of the other, as after a loss. */
	readonly #id = Math.random().toString(36).slice(2)
	#created = 0
	#listChanges = 0

	/** {@inheritDoc StateStore.look} */
	look(name: string): StatePlace {
		const state = this.#states.get(name)
		const removed = this.#removed.get(name)
		return {
			state,
			listed: this.#listed.get(name)?.initial,
			removed: state === undefined && removed !== undefined,
			spoilt: false,
			next: (removed?.version ?? 0) + 1,
			seen: state?.born ?? '',
		}
	}

	/** {@inheritDoc StateStore.read} */
	read(name: string): StoredState | undefined {
		return this.#states.get(name)
	}

	/** {@inheritDoc StateStore.create} */
	create(name: string, initial: string, place: StatePlace, listed: boolean): StoredState | undefined {
		const state = this.#states.get(name) ?? this.#create(name, initial, place.next)
		// The one that was seen; or, if none was, one that was created before the next removal, which raises the version.
		const meant = place.seen === '' ? state?.born.endsWith(`.${place.next}`) : state?.born === place.seen
		if (listed && meant) this.#enlist({ name, initial })
		return state
	}

	/** {@inheritDoc StateStore.commit} */
	commit(
		name: string,
		expected: StoredState,
		value: string,
		id: OperationId,
		{ turn = 0 }: CommitOptions = {},
	): CommitResult {
		const state = this.#states.get(name)
		const last = this.#done.get(id.writer) ?? 0
		if (last >= id.number) return { committed: last === id.number, state }
		const other = this.#turns.get(name)
		const left = (other?.until ?? 0) - performance.now()
		if (!state || state.version !== expected.version || state.stamp !== expected.stamp) {
			if (state && turn > 0 && left <= 0) {
				const until = performance.now() + Math.min(turn, LONGEST_TURN)
				this.#turns.set(name, { writer: id.writer, until })
			}
			return { committed: false, state }
		}
		if (left > 0 && other?.writer !== id.writer) return { committed: false, state: undefined, wait: left }
		this.#turns.delete(name)
		rememberNewest(this.#done, id.writer, id.number)
		const next = { ...state, version: state.version + 1, stamp: `${id.writer}.${id.number}`, value }
		return { committed: true, state: this.#write(name, next) }
	}

	/** {@inheritDoc StateStore.restore} */
	restore(name: string, state: StoredState, listed?: RegisteredState): StoredState | undefined {
		const found = this.#states.get(name)
		const removed = this.#removed.get(name)
		if (!found && removed && (removed.version >= state.version || removed.born === state.born))
			return undefined
		const now = found && found.version >= state.version ? found : this.#write(name, state)
		this.#removed.delete(name)
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

	/** {@inheritDoc StateStore.remove} */
	remove(name: string, { born, version }: Incarnation): void {
		const state = this.#states.get(name)
		if (state && state.born !== born) return
		this.#bury(name, { born, version: Math.max(version, state?.version ?? 0) })
		this.#states.delete(name)
		this.#turns.delete(name)
		const wasListed = this.#listed.delete(name)
		for (const watcher of [...(this.#watchers.get(name) ?? [])]) watcher.missed()
		if (wasListed) this.#listChanged(name)
	}

	/** {@inheritDoc StateStore.list} */
	list(known?: string): StateList | undefined {
		const stamp = this.#listStamp(this.#listChanges)
		return stamp === known ? undefined : { stamp, states: [...this.#listed.values()] }
	}

	/** {@inheritDoc StateStore.watchList} */
	watchList(watcher: RegistryWatcher): Unwatch {
		this.#listWatchers.add(watcher)
		return () => {
			this.#listWatchers.delete(watcher)
		}
	}

	#create(name: string, value: string, version: number): StoredState | undefined {
		if ((this.#removed.get(name)?.version ?? 0) >= version) return undefined
		this.#removed.delete(name)
		const stamp = `${this.#id}.${++this.#created}.${version}`
		return this.#write(name, { version, stamp, born: stamp, value })
	}

	#bury(name: string, removed: Incarnation): void {
		if ((this.#removed.get(name)?.version ?? 0) < removed.version)
			rememberNewest(this.#removed, name, removed)
	}

	#write(name: string, state: StoredState): StoredState {
		this.#states.set(name, state)
		for (const watcher of [...(this.#watchers.get(name) ?? [])]) watcher.changed(state)
		return state
	}

	#enlist(state: RegisteredState): void {
		if (this.#listed.has(state.name)) return
		this.#listed.set(state.name, state)
		this.#listChanged(state.name)
	}

	#listChanged(name: string): void {
		const before = this.#listStamp(this.#listChanges)
		const after = this.#listStamp(++this.#listChanges)
		for (const watcher of [...this.#listWatchers]) watcher.changed({ name, before, after })
	}

	#listStamp(changes: number): string {
		return `${this.#id}.${changes}`
	}
}

function rememberNewest<T>(map: Map<string, T>, key: string, value: T): void {
	map.delete(key)
	map.set(key, value)
	if (map.size <= REMEMBERED) return
	for (const oldest of map.keys()) {
		map.delete(oldest)
		return
	}
}

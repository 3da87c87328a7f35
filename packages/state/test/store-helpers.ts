import type { MemoryStateStore, StateStore, StoredState } from '@evstream/core'

/** Creates a state, or gives the one there is. */
export function load(store: MemoryStateStore, name: string, initial: string): StoredState {
	const state = store.create(name, initial, store.look(name), false)
	if (!state) throw new Error('no state')
	return state
}

/** Creates a state on the list, as another instance does. */
export function register(store: MemoryStateStore, name: string, initial: string): void {
	store.create(name, initial, store.look(name), true)
}

/** Removes whatever state has the name, as another instance does. */
export function remove(store: MemoryStateStore, name: string): void {
	const { state, next } = store.look(name)
	store.remove(name, state ?? { born: '', version: next })
}

/** Loads a state as `EvState` does. */
export async function loadFrom(
	store: StateStore,
	name: string,
	initial: string,
): Promise<StoredState | undefined> {
	const place = await store.look(name)
	return place.state ?? (await store.create(name, initial, place, false))
}

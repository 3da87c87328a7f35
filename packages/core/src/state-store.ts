import type { Awaitable } from './log.js'

/**
 * The state store: versioned values that change by compare-and-set. The in-memory store is its executable
 * specification; the Redis adapter implements the same contract, proved by the same suite
 * (`@evstream/core/contract`).
 */

/** A committed value. */
export interface StoredState {
	/** Rises by at least one with every commit, also over a removal and a new creation. The first one is 1. */
	readonly version: number
	/**
	 * Names the write: two histories that reached the same version have different stamps. For a commit it is
	 * `<writer>.<number>` of its operation. `[A-Za-z0-9_.-]{1,100}`.
	 */
	readonly stamp: string
	/**
	 * Names the incarnation: the stamp of the write that created the state. It stays the same until the state is
	 * removed; one that is created later has another one. `-` if the store does not know it.
	 */
	readonly born: string
	/** The value as JSON. */
	readonly value: string
}

/** What a store knows of a name, see {@link StateStore.look}. */
export interface StatePlace {
	/** What is stored, if anything is. */
	readonly state: StoredState | undefined
	/** What the name is on the list with, as JSON; `undefined` if it is not on the list. */
	readonly listed: string | undefined
	/** Nothing is stored, and the store remembers a removal. */
	readonly removed: boolean
	/** The place of the state holds something else, which only {@link StateStore.remove} takes away. */
	readonly spoilt: boolean
	/** The version that a creation would have: above that of the last removal. {@link StateStore.create} compares it. */
	readonly next: number
	/** When it was looked at, for {@link StateStore.create}. Its content is the store's own affair. */
	readonly seen: string
}

/** What is meant by a removal: a {@link StoredState} is one. */
export interface Incarnation {
	/** See {@link StoredState.born}; `''` if there was no state. */
	readonly born: string
	/** The newest version of it that is known; {@link StatePlace.next} if there was no state. */
	readonly version: number
}

/**
 * Names one operation of one writer. A client library sends unfinished commands again after a reconnect, and a
 * caller that got no answer asks again: a second run of the same operation changes nothing.
 *
 * A writer does one operation after the other. The store remembers its last number for at least 15 minutes, and
 * longer if the caller says so ({@link CommitOptions.remember}). That memory only answers whether a commit was the caller's own: what keeps a
 * late copy from writing is the version and the stamp that it expects, for ever.
 */
export interface OperationId {
	/** Unique among all writers that ever were. `[A-Za-z0-9_-]{1,64}`. */
	readonly writer: string
	/** A positive safe integer that rises with every operation of the writer. */
	readonly number: number
}

/** What a compare-and-set gave. */
export interface CommitResult {
	/** `false`: somebody else was first, nothing was written. */
	readonly committed: boolean
	/**
	 * What the store holds now: the own value or a later one if committed, the winner's otherwise. `undefined` if
	 * the store holds nothing (it was removed, or the store lost its data).
	 */
	readonly state: StoredState | undefined
	/**
	 * Only with `committed: false`: nothing was compared, because for so many ms at most it is another writer's turn,
	 * see {@link CommitOptions.turn}. `state` is `undefined`.
	 */
	readonly wait?: number | undefined
}

/** How a compare-and-set is sent. */
export interface CommitOptions {
	/** After so many ms the caller is gone: what was not sent by then must not be sent any more. */
	readonly within?: number | undefined
	/** For so many ms the operation must be remembered: twice as long as the caller may ask for it again. */
	readonly remember?: number | undefined
	/**
	 * If somebody else was first, this writer's next commit goes before those of others that come within so many ms,
	 * at most 1000. One writer has the turn at a time. It ends with a commit of that writer.
	 */
	readonly turn?: number | undefined
}

/** One entry of the list of states. */
export interface RegisteredState {
	readonly name: string
	/** What it was created with, as JSON. */
	readonly initial: string
}

/** The list of states. */
export interface StateList {
	/** Names this content of the list: another stamp after every change, never the same one again. */
	readonly stamp: string
	readonly states: readonly RegisteredState[]
}

/** One change of the list. */
export interface ListChange {
	/** What was put on the list or taken off it: {@link StateStore.look} says which. */
	readonly name: string
	/** The stamps of the list before and after it. */
	readonly before: string
	readonly after: string
}

/** Undoes a `watch`. Idempotent. */
export type Unwatch = () => void

/** Told about the states it watches. None of them may throw. */
export interface StateWatcher {
	/** A commit, of whichever instance. May come twice, late or not at all: versions decide. */
	changed(state: StoredState): void
	/** Commits may have been missed (a reconnect), or the state was removed: read it again. */
	missed(): void
}

/** Told about the list of states. */
export interface RegistryWatcher {
	/** A change, of whichever instance. May come twice, late or not at all: stamps tell. */
	changed(change: ListChange): void
	/** Changes may have been missed: list it again. */
	missed(): void
}

/**
 * A versioned value for each name, and a list of names.
 *
 * Every method may throw or reject with an `EvUnavailableError`: then it is unknown whether it took place. Repeat it
 * with the same arguments to find out. If the error has a property `sent` that is `false`, it did not take place and
 * will not.
 *
 * A copy of a command that arrives late, at whatever time and after whatever others did, must do no harm: each one
 * carries what it was decided on (versions, stamps, an incarnation, what was seen), and does nothing if that is no
 * longer so.
 */
export interface StateStore {
	/** Says what there is of a name, before it is created or removed. Writes nothing. */
	look(name: string): Awaitable<StatePlace>
	/** Reads a state; `undefined` if there is none. Writes nothing. */
	read(name: string): Awaitable<StoredState | undefined>
	/**
	 * Creates a state as version 1, or above the version it was removed at, if there is none and none was removed
	 * since `place` was looked at. With `listed` the name is put on the list too, also if the state exists,
	 * unless it is an incarnation that was created after a removal since.
	 *
	 * @param initial - The value, as JSON.
	 * @param place - From {@link look}. Every repetition takes the first one: what somebody else removed meanwhile
	 * stays removed.
	 * @returns What the store holds then; `undefined` if the state was removed since.
	 */
	create(
		name: string,
		initial: string,
		place: StatePlace,
		listed: boolean,
	): Awaitable<StoredState | undefined>
	/**
	 * Writes `value` as the next version if what is stored has the version and the stamp of `expected`. A second
	 * run of the same operation gives the answer of the first, with what is stored by then.
	 */
	commit(
		name: string,
		expected: StoredState,
		value: string,
		id: OperationId,
		options?: CommitOptions,
	): Awaitable<CommitResult>
	/**
	 * Puts a value back after the store lost its data: written if what is stored has a lower version, or is gone
	 * without a removal of this incarnation, or of a later version, being remembered. With `listed` the name is put
	 * back on the list too.
	 *
	 * For a short while after it wrote, a store may refuse commits with `EvUnavailableError`, so that every instance
	 * gets to put back a newer version before others go on from an older one.
	 *
	 * @param state - As the store itself once gave it to the caller, in an answer and not in a message.
	 * @returns What the store holds then; `undefined` if the state was removed.
	 */
	restore(name: string, state: StoredState, listed?: RegisteredState): Awaitable<StoredState | undefined>
	/** Calls the watcher on every commit. Resolves once the subscription is certain. */
	watch(name: string, watcher: StateWatcher): Awaitable<Unwatch>

	/**
	 * Takes a name off the list and removes its value, and remembers that, so that nothing late brings it back. Does
	 * nothing if the store holds another incarnation.
	 *
	 * @param meant - Without a `born` it means what is no state: a name that is listed without a value, whatever else
	 * is found in its place, and a creation that was decided before.
	 */
	remove(name: string, meant: Incarnation): Awaitable<void>
	/**
	 * The list of states.
	 *
	 * @param known - The stamp of a list that the caller has.
	 * @returns `undefined` if the list still has that stamp.
	 */
	list(known?: string): Awaitable<StateList | undefined>
	/** Calls the watcher on every change of the list. Resolves once the subscription is certain. */
	watchList(watcher: RegistryWatcher): Awaitable<Unwatch>
}

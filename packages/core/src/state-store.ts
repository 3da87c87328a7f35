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
	/** The value as JSON. */
	readonly value: string
}

/**
 * Names one operation of one writer. A client library sends unfinished commands again after a reconnect, and a
 * caller that got no answer asks again: a second run of the same operation changes nothing.
 *
 * A writer does one operation after the other. The store remembers its last number for at least 15 minutes; a
 * lower number than that is a late copy, and does nothing either.
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
}

/** One entry of the list of states. */
export interface RegisteredState {
	readonly name: string
	/** What it was created with, as JSON. */
	readonly initial: string
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
	/** The list changed, or changes may have been missed: list it again. */
	changed(): void
}

/**
 * A versioned value for each name, and a list of names.
 *
 * Every method may throw or reject with an `EvUnavailableError`: then it is unknown whether it took place.
 * Repeat it with the same {@link OperationId} to find out. If the error has a property `sent` that is `false`, it
 * did not take place and will not.
 */
export interface StateStore {
	/** Reads a state, and creates it as `{ version: 1 }` (or above the version it was removed at) if there is none. */
	load(name: string, initial: string): Awaitable<StoredState>
	/** Reads a state; `undefined` if there is none. */
	read(name: string): Awaitable<StoredState | undefined>
	/**
	 * Writes `value` as the next version if what is stored has the version and the stamp of `expected`. A second
	 * run of the same operation gives the answer of the first, with what is stored by then.
	 *
	 * @param within - After so many ms the caller is gone: what was not sent by then must not be sent any more.
	 */
	commit(
		name: string,
		expected: StoredState,
		value: string,
		id: OperationId,
		within?: number,
	): Awaitable<CommitResult>
	/**
	 * Puts a value back after the store lost its data: written if what is stored has a lower version, or is gone
	 * without having been removed. With `listed` the name is put back on the list too. Gives what the store holds
	 * then; `undefined` if the state was removed.
	 *
	 * For a short while after it wrote, a store may refuse commits with `EvUnavailableError`, so that every instance
	 * gets to put back a newer version before others go on from an older one.
	 */
	restore(name: string, state: StoredState, listed?: RegisteredState): Awaitable<StoredState | undefined>
	/** Calls the watcher on every commit. Resolves once the subscription is certain. */
	watch(name: string, watcher: StateWatcher): Awaitable<Unwatch>

	/**
	 * Puts a name on the list of states and loads it, in one step. `undefined` if this is a second run and the
	 * state was removed since the first.
	 */
	register(state: RegisteredState, id: OperationId): Awaitable<StoredState | undefined>
	/** Takes a name off the list and removes its value. Leaves a tombstone, so that nothing late brings it back. */
	remove(name: string, id: OperationId): Awaitable<void>
	/** The list of states. */
	list(): Awaitable<readonly RegisteredState[]>
	/** Calls the watcher on every change of the list. Resolves once the subscription is certain. */
	watchList(watcher: RegistryWatcher): Awaitable<Unwatch>
}

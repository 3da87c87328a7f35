import {
	type CommitResult,
	EvClosedError,
	EvUnavailableError,
	type StatePlace,
	type StateStore,
	type StoredState,
} from '@evstream/core'
import { refuseAsync, rejected } from './change.js'
import { copyStrict } from './copy.js'
import type { Engine } from './engine.js'
import { type Outage, outageOf } from './outage.js'
import type { Outlet } from './outlet.js'
import { type Flight, PendingChanges } from './pending-changes.js'
import { Recurring } from './recurring.js'
import type { Settings } from './settings.js'
import { Shown } from './shown.js'
import { Slices } from './slices.js'
import { StoreWatch } from './store-watch.js'
import { ValueRules } from './value-rules.js'
import { Wait } from './wait.js'
import { isClosed, Worker } from './worker.js'

/** A flight that loses takes a turn of this many ms and twice what the store took to answer the last one. */
const LEAST_TURN_MS = 20

/** How many slices of changes go into one flight: the more there are, the likelier another instance is faster. */
const MOST_SLICES = 10

/**
 * How long what was published may be newer than what the store holds, in ms: longer than a store that lost its data
 * waits for all instances to put back what they have.
 */
const DOUBT_MS = 5000

/**
 * The value of several instances, as one of them talks about it with the store: it loads it, watches it, sends one
 * flight of changes after the other (compare-and-set), and compares now and then. The changes that wait are kept by
 * {@link PendingChanges}; clients and subscribers see committed values only.
 */
export class SharedValue<T> implements Engine<T> {
	readonly ready: Promise<void>
	readonly #name: string
	readonly #initial: string
	readonly #store: StateStore
	readonly #outlet: Outlet<T>
	readonly #settings: Settings
	readonly #rules: ValueRules<T>
	readonly #pending: PendingChanges<T>
	readonly #shown = new Shown<T>(copyStrict)
	readonly #shownCommitted = new Shown<T>(copyStrict)
	readonly #watch: StoreWatch
	readonly #worker: Worker
	readonly #checks: Recurring
	readonly #outage: Outage
	/** Until it is this instance's turn. */
	readonly #wait = new Wait()
	/** What was seen before the creation: every try of it decides on the same. */
	#place: StatePlace | undefined
	/** What clients and subscribers see: the newest version that the store answered or published. */
	#committed: StoredState | undefined
	/** The newest version that the store gave in an answer: only that is put back after a loss. */
	#confirmed: StoredState | undefined
	/** Since when the store holds an older version than was published; in the time of `performance.now()`. */
	#doubtSince: number | undefined
	/** How long the store took to answer the last commit, in ms. */
	#tookMs = 0
	/** The newest commit heard of before the first load. */
	#early: StoredState | undefined
	#checkWanted = false
	#closed = false
	#resolveReady: () => void = () => {}
	#rejectReady: (error: unknown) => void = () => {}

	constructor(
		name: string,
		initial: T,
		store: StateStore,
		outlet: Outlet<T>,
		equals: (a: T, b: T) => boolean,
		settings: Settings,
	) {
		this.#name = name
		this.#store = store
		this.#outlet = outlet
		this.#settings = settings
		this.#rules = new ValueRules(name, outlet, equals)
		const value = copyStrict(initial)
		this.#initial = this.#rules.encode(value)
		this.#pending = new PendingChanges(name, this.#rules, settings, value)
		this.ready = new Promise((resolve, reject) => {
			this.#resolveReady = resolve
			this.#rejectReady = reject
		})
		this.ready.catch(() => {})
		const watcher = {
			changed: (state: StoredState) => this.#changed(state),
			missed: () => this.#check(),
		}
		this.#outage = outageOf(store)
		const report = (error: unknown): void => this.#outage.report(error, settings.receiver, settings.onError)
		this.#watch = new StoreWatch(store, name, watcher, report)
		this.#worker = new Worker(() => this.#step(), report)
		this.#checks = new Recurring(settings.checkInterval, () => this.#check())
		void this.#watch.begin()
		this.#worker.kick()
	}

	get version(): number {
		return this.#committed?.version ?? 0
	}

	get closed(): boolean {
		return this.#closed
	}

	get(): T {
		return this.#shown.of(this.#pending.head())
	}

	set(run: (value: T) => T): Promise<T> {
		try {
			refuseAsync(run)
			if (this.#closed) throw this.#closedError()
			this.#pending.refuseOverflow(this.#committed?.value.length ?? this.#initial.length)
		} catch (error) {
			this.#settings.onError(error)
			return rejected(error)
		}
		const promise = this.#pending.add(run)
		this.#worker.kick()
		return promise
	}

	close(): void {
		if (this.#closed) return
		this.#closed = true
		this.#checks.stop()
		const waiting = this.#pending.clear()
		this.#wait.end()
		this.#watch.close()
		this.#worker.stop()
		for (const change of waiting) change.reject(this.#closedError())
		this.#rejectReady(this.#closedError())
		this.#outlet.close()
	}

	/** @returns `false` if there was nothing to do. */
	async #step(): Promise<boolean> {
		if (this.#committed === undefined) await this.#load()
		else if (this.#pending.flight) await this.#land(this.#pending.flight, this.#committed)
		else if (this.#checkWanted) await this.#compare(this.#committed)
		else if (this.#pending.any) await this.#takeOff()
		else return false
		return true
	}

	async #load(): Promise<void> {
		this.#place ??= await this.#attempt(() => this.#store.look(this.#name))
		const place = this.#place
		const loaded =
			place.state ?? (await this.#attempt(() => this.#store.create(this.#name, this.#initial, place, false)))
		if (loaded === undefined) return this.close()
		this.#confirmed = loaded
		const early = this.#early
		this.#adopt(early !== undefined && early.version > loaded.version ? early : loaded)
		this.#place = undefined
		this.#resolveReady()
	}

	/** Sees whether a message was missed, or the store lost its data. */
	async #compare(known: StoredState): Promise<void> {
		this.#checkWanted = false
		try {
			void this.#watch.begin()
			await this.#reconcile(await this.#attempt(() => this.#store.read(this.#name)), known)
		} catch (error) {
			this.#checkWanted = true
			throw error
		}
	}

	/** Applies everything that waits. What this tick still asks for comes along. */
	async #takeOff(): Promise<void> {
		await new Promise<void>((resolve) => process.nextTick(resolve))
		const slices = new Slices()
		for (let slice = 0; slice < MOST_SLICES && !this.#pending.prepare(); slice++) await slices.next()
		if (this.#committed && this.#pending.any) this.#pending.takeOff(this.#committed)
	}

	/** Sends a flight, again and again under the same id until there is an answer. */
	async #land(flight: Flight<T>, known: StoredState): Promise<void> {
		const { json, expected } = flight
		let answer: StoredState | undefined
		let landed: boolean
		if (json === undefined) {
			answer = await this.#attempt(() => this.#store.read(this.#name))
			landed = answer?.version === expected.version && answer.stamp === expected.stamp
		} else {
			const result = await this.#commit(flight, json)
			if (result.wait !== undefined) return this.#letOthers(flight, result.wait)
			answer = result.state
			// The stamp tells of a commit that was put back after the store lost its data, and its memory of ids.
			landed = result.committed || answer?.stamp === flight.stamp
		}
		// Its own commit, when it comes in as the newest value, lands it already there.
		await this.#reconcile(answer, known, () => {
			if (this.#pending.flight !== flight) return
			if (landed) this.#pending.landed(flight)
			else this.#pending.refused()
		})
	}

	async #commit(flight: Flight<T>, json: string): Promise<CommitResult> {
		const { fold, expected, id } = flight
		const first = fold.changes.find((change) => !change.settled)
		const begun = performance.now()
		const within = Math.max(1, (first?.expires ?? 0) - begun)
		const remember = 2 * this.#settings.deadline
		const turn = LEAST_TURN_MS + 2 * this.#tookMs
		const options = { within, remember, turn }
		try {
			const result = await this.#attempt(() => this.#store.commit(this.#name, expected, json, id, options))
			this.#tookMs = performance.now() - begun
			return result
		} catch (error) {
			if (!isUnsent(error)) flight.inDoubt = true
			// It can still be taken apart, so that what is rejected meanwhile does not take effect later.
			else if (this.#pending.flight === flight && !flight.inDoubt) this.#pending.unite()
			throw error
		}
	}

	/**
	 * Another instance lost often and has the turn: the flight is taken apart and waits for that commit. One in doubt
	 * was not compared now, but may have been before, or still be: it is asked for again under the same id.
	 */
	async #letOthers(flight: Flight<T>, ms: number): Promise<void> {
		if (this.#pending.flight === flight) this.#pending.postponed()
		if (this.#closed) return
		// What overtook the flight is the commit to wait for.
		if (!flight.stale) await this.#wait.begin(ms)
		else if (flight.inDoubt) await this.#wait.begin(Math.min(ms, LEAST_TURN_MS))
	}

	/**
	 * Takes over what the store holds. `known` was committed when it was asked; `then` runs before anything else is
	 * asked, and with the answer taken over if it is good.
	 */
	async #reconcile(answer: StoredState | undefined, known: StoredState, then?: () => void): Promise<void> {
		if (this.#closed) return
		const behind = answer === undefined || answer.version < known.version
		if (!behind) this.#confirm(answer)
		then?.()
		if (!behind) return
		const best = this.#confirmed ?? known
		const lost = answer === undefined || answer.version < best.version
		const now = lost ? await this.#attempt(() => this.#store.restore(this.#name, best)) : answer
		if (now === undefined) this.close()
		else if (now.version >= known.version) this.#confirm(now)
		else this.#doubt(now, known)
	}

	/** The store says what it holds. */
	#confirm(state: StoredState): void {
		this.#doubtSince = undefined
		if (state.version >= (this.#confirmed?.version ?? 0)) this.#confirmed = state
		this.#adopt(state)
	}

	/**
	 * What was published is not in the store. Another instance may know it and put it back. If none does, it never
	 * was: the store's older value counts.
	 *
	 * @throws EvUnavailableError until that is certain.
	 */
	#doubt(stored: StoredState, published: StoredState): void {
		if (this.#closed || this.#committed !== published) return
		const now = performance.now()
		this.#doubtSince ??= now
		if (now - this.#doubtSince >= DOUBT_MS) {
			this.#doubtSince = undefined
			this.#confirmed = stored
			this.#committed = undefined
			this.#adopt(stored)
			return
		}
		this.#checkWanted = true
		throw new EvUnavailableError(
			`Version ${published.version} of the state "${this.#name}" was published, but the store holds version ${stored.version}. Changes wait until it is certain which one counts.`,
		)
	}

	/** A new committed value: everything that waits goes on top of it, clients and subscribers get it. */
	#adopt(state: StoredState): void {
		const before = this.#committed
		if (this.#closed) return
		// Lower: an old answer, overtaken by a message. The same version of another history is not old.
		if (before && (state.version < before.version || state.stamp === before.stamp)) return
		const { flight } = this.#pending
		const own = flight !== undefined && state.stamp === flight.stamp
		const value = own ? flight.fold.head() : this.#rules.parse(state.value)
		const changed = before !== undefined || !this.#rules.same(this.#pending.base, value)
		// `equals` is the app's and may have closed it.
		if (this.#closed) return
		this.#committed = state
		this.#wait.end()
		this.#pending.rebase(value, own)
		this.#outlet.prepare(state.value)
		// Whoever listened before the first load got no snapshot.
		if (changed || this.#settings.snapshot) this.#outlet.broadcast()
		if (own) this.#pending.landed(flight)
		if (changed) this.#outlet.notify(() => this.#shownCommitted.of(value), state.version)
	}

	#changed(state: StoredState): void {
		if (this.#closed) return
		const newest = this.#committed ?? this.#early
		if (newest && state.version <= newest.version) return
		try {
			if (this.#committed) this.#adopt(state)
			else if (this.#rules.parse(state.value) !== undefined) this.#early = state
		} catch (error) {
			this.#settings.onError(error)
		}
	}

	#check(): void {
		this.#checkWanted = true
		this.#wait.end()
		this.#worker.wake()
	}

	/** Asks the store, and remembers why it did not answer. */
	async #attempt<R>(ask: () => R | Promise<R>): Promise<R> {
		try {
			const answer = await ask()
			this.#outage.over()
			return answer
		} catch (error) {
			this.#pending.obstacle = error
			// The adapter was closed: there is nothing to wait for any more.
			if (isClosed(error)) this.close()
			throw error
		}
	}

	#closedError(): EvClosedError {
		return new EvClosedError(`The state "${this.#name}"`)
	}
}

/** Whether the store is certain that what it was asked did not take place. */
function isUnsent(error: unknown): boolean {
	return error instanceof Error && Reflect.get(error, 'sent') === false
}

import { randomUUID } from 'node:crypto'
import {
	type CommitResult,
	EvClosedError,
	EvConflictError,
	EvInvalidMessageError,
	EvUnavailableError,
	type StateStore,
	type StoredState,
	type Unwatch,
} from '@evstream/core'
import { Change, refuseAsync, rejected } from './change.js'
import { copyStrict } from './copy.js'
import type { Engine } from './engine.js'
import { Fold, type FoldRules } from './fold.js'
import type { Outlet } from './outlet.js'
import { Recurring } from './recurring.js'
import type { Settings } from './settings.js'
import { Shown } from './shown.js'
import { isClosed, Worker } from './worker.js'

/** Changes that wait hold about this much of values, in characters of JSON, but at least so many changes. */
const PENDING_MEMORY = 64 * 1024 * 1024
const PENDING_LEAST = 100

/** Changes on their way to the store. */
interface Flight<T> {
	readonly fold: Fold<T>
	readonly id: { readonly writer: string; readonly number: number }
	/** The stamp it will have once it is committed. */
	readonly stamp: string
	/** What the changes were applied on. */
	readonly expected: StoredState
	/** The value after them; `undefined` if it is the old one, and all there is to do is to see that it still is. */
	readonly json: string | undefined
	/** Somebody else committed since. */
	stale: boolean
	/** It was sent and there was no answer: it may have been committed. */
	inDoubt: boolean
}

/**
 * The value of several instances. Changes are folded into one commit at a time (compare-and-set); what comes
 * meanwhile goes into the next one, and after a conflict all of them are run again on the newer value.
 *
 * ```
 *   committed ──► flight (sent, no answer yet) ──► fold (what came since)
 *       │                                           └─ head: what get() gives
 *       └─ what clients and subscribers have seen
 * ```
 */
export class SharedValue<T> implements Engine<T> {
	readonly ready: Promise<void>
	readonly #name: string
	readonly #initial: string
	readonly #store: StateStore
	readonly #outlet: Outlet<T>
	readonly #settings: Settings
	readonly #rules: FoldRules<T>
	readonly #shown = new Shown<T>(copyStrict)
	readonly #shownCommitted = new Shown<T>(copyStrict)
	readonly #worker: Worker
	readonly #checks: Recurring
	readonly #writer = randomUUID()
	#operations = 0
	#committed: StoredState | undefined
	#value: T
	#fold: Fold<T>
	#flight: Flight<T> | undefined
	/** All that waits, applied on a value that overtook the flight: only for `get()`. */
	#preview: Fold<T> | undefined
	/** The newest commit heard of before the first load. */
	#early: StoredState | undefined
	#checkWanted = false
	#watching = false
	#unwatch: Unwatch | undefined
	#expiry: NodeJS.Timeout | undefined
	/** Why the last attempt came to nothing. */
	#obstacle: unknown
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
		this.#rules = { copy: copyStrict, equals, measure: (value) => void this.#encode(value) }
		this.#value = copyStrict(initial)
		this.#initial = this.#encode(this.#value)
		this.#fold = new Fold(this.#rules, this.#value)
		this.ready = new Promise((resolve, reject) => {
			this.#resolveReady = resolve
			this.#rejectReady = reject
		})
		this.ready.catch(() => {})
		this.#worker = new Worker(() => this.#step(), settings.onError)
		this.#checks = new Recurring(settings.checkInterval, () => this.#check())
		void this.#watch()
		this.#worker.kick()
	}

	get version(): number {
		return this.#committed?.version ?? 0
	}

	get closed(): boolean {
		return this.#closed
	}

	get(): T {
		const flight = this.#flight
		if (!flight?.stale) return this.#shown.of(this.#fold.head())
		this.#preview ??= new Fold(this.#rules, this.#value, this.#waiting())
		return this.#shown.of(this.#preview.head())
	}

	set(run: (value: T) => T): Promise<T> {
		try {
			refuseAsync(run)
			if (this.#closed) throw this.#closedError()
			this.#refuseOverflow()
		} catch (error) {
			this.#settings.onError(error)
			return rejected(error)
		}
		const change = new Change(run, performance.now() + this.#settings.deadline)
		this.#fold.changes.push(change)
		this.#preview?.changes.push(change)
		if (this.#expiry === undefined) this.#expireIn(this.#settings.deadline)
		this.#worker.kick()
		return change.promise
	}

	close(): void {
		if (this.#closed) return
		this.#closed = true
		this.#checks.stop()
		clearTimeout(this.#expiry)
		this.#unwatch?.()
		this.#worker.stop()
		const waiting = this.#waiting()
		this.#flight = undefined
		this.#preview = undefined
		this.#fold = new Fold(this.#rules, this.#value)
		for (const change of waiting) change.reject(this.#closedError())
		this.#rejectReady(this.#closedError())
		this.#outlet.close()
	}

	/** @returns `false` if there was nothing to do. */
	async #step(): Promise<boolean> {
		if (this.#committed === undefined) await this.#load()
		else if (this.#flight !== undefined) await this.#land(this.#flight, this.#committed)
		else if (this.#checkWanted) await this.#compare(this.#committed)
		else if (this.#fold.changes.length > 0) await this.#takeOff()
		else return false
		return true
	}

	async #load(): Promise<void> {
		const loaded = await this.#attempt(() => this.#store.load(this.#name, this.#initial))
		if (this.#closed) return
		const early = this.#early
		this.#adopt(early !== undefined && early.version > loaded.version ? early : loaded)
		this.#resolveReady()
	}

	/** Sees whether a message was missed, or the store lost its data. */
	async #compare(known: StoredState): Promise<void> {
		this.#checkWanted = false
		try {
			if (!this.#watching) void this.#watch()
			await this.#reconcile(await this.#attempt(() => this.#store.read(this.#name)), known)
		} catch (error) {
			this.#checkWanted = true
			throw error
		}
	}

	/** Applies everything that waits. What this tick still asks for comes along. */
	async #takeOff(): Promise<void> {
		await new Promise<void>((resolve) => process.nextTick(resolve))
		const expected = this.#committed
		if (expected === undefined || this.#fold.changes.length === 0) return
		let fold = this.#fold
		let json: string | undefined
		try {
			json = this.#encode(fold.head())
		} catch {
			// Some value is too large: find out which.
			fold = fold.on(fold.base, true)
			json = this.#encode(fold.head())
		}
		const same = fold.head() === fold.base || this.#equal(fold.base, fold.head())
		const id = { writer: this.#writer, number: ++this.#operations }
		const stamp = `${id.writer}.${id.number}`
		this.#flight = { fold, id, stamp, expected, json: same ? undefined : json, stale: false, inDoubt: false }
		this.#fold = new Fold(this.#rules, fold.head())
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
			answer = result.state
			// The stamp tells of a commit that was put back after the store lost its data, and its memory of ids.
			landed = result.committed || answer?.stamp === flight.stamp
		}
		// Its own commit, when it comes in as the newest value, lands it already there.
		await this.#reconcile(answer, known, () => {
			if (this.#flight !== flight) return
			if (landed) this.#landed(flight)
			else this.#refused()
		})
	}

	async #commit(flight: Flight<T>, json: string): Promise<CommitResult> {
		const { fold, expected, id } = flight
		const [first] = fold.changes
		const within = Math.max(1, (first?.expires ?? 0) - performance.now())
		try {
			return await this.#attempt(() => this.#store.commit(this.#name, expected, json, id, within))
		} catch (error) {
			if (!isUnsent(error)) flight.inDoubt = true
			// It can still be taken apart, so that what is rejected meanwhile does not take effect later.
			else if (this.#flight === flight && !flight.inDoubt) this.#unite()
			throw error
		}
	}

	#landed(flight: Flight<T>): void {
		this.#flight = undefined
		this.#preview = undefined
		this.#obstacle = undefined
		if (flight.stale) this.#fold = this.#fold.on(this.#value)
		const head = flight.fold.head()
		const shown = new Shown<T>(copyStrict)
		flight.fold.settle(() => shown.of(head), this.#settings.onError)
		this.#disarm()
	}

	#refused(): void {
		this.#obstacle = new EvConflictError(
			`Other instances changed the state "${this.#name}" faster than this one. Change it less often, or raise deadline.`,
		)
		this.#unite()
	}

	/** Nothing is on its way any more: all that still waits is to be applied anew. */
	#unite(): void {
		const waiting = this.#waiting()
		this.#flight = undefined
		this.#preview = undefined
		this.#fold = new Fold(this.#rules, this.#value, waiting)
	}

	/**
	 * Takes over what the store holds. `known` was committed when it was asked; `then` runs before anything else is
	 * asked, and with the answer taken over if it is good.
	 */
	async #reconcile(answer: StoredState | undefined, known: StoredState, then?: () => void): Promise<void> {
		if (this.#closed) return
		const lost = answer === undefined || answer.version < known.version
		if (!lost) this.#adopt(answer)
		then?.()
		if (!lost) return
		const best = this.#committed ?? known
		const now = await this.#attempt(() => this.#store.restore(this.#name, best))
		if (now === undefined) this.close()
		else this.#adopt(now)
	}

	/** A new committed value: everything that waits goes on top of it, clients and subscribers get it. */
	#adopt(state: StoredState): void {
		const before = this.#committed
		if (this.#closed) return
		// Lower: an old answer, overtaken by a message. The same version of another history is not old.
		if (before && (state.version < before.version || state.stamp === before.stamp)) return
		const flight = this.#flight
		const own = flight !== undefined && state.stamp === flight.stamp
		const value = own ? flight.fold.head() : this.#parse(state.value)
		const changed = before !== undefined || !this.#equal(this.#value, value)
		this.#committed = state
		this.#value = value
		this.#preview = undefined
		if (own) flight.stale = false
		else if (flight) flight.stale = true
		else this.#fold = this.#fold.on(value)
		this.#outlet.prepare(state.value)
		// Whoever listened before the first load got no snapshot.
		if (changed || this.#settings.snapshot) this.#outlet.broadcast()
		if (own) this.#landed(flight)
		if (changed) this.#outlet.notify(() => this.#shownCommitted.of(value), state.version)
	}

	async #watch(): Promise<void> {
		this.#watching = true
		try {
			const unwatch = await this.#store.watch(this.#name, {
				changed: (state) => this.#changed(state),
				missed: () => this.#check(),
			})
			if (this.#closed) return unwatch()
			this.#unwatch = unwatch
			this.#check()
		} catch (error) {
			// The next comparison tries again.
			this.#watching = false
			if (!this.#closed) this.#settings.onError(error)
		}
	}

	#changed(state: StoredState): void {
		if (this.#closed) return
		const newest = this.#committed ?? this.#early
		if (newest && state.version <= newest.version) return
		try {
			if (this.#committed) this.#adopt(state)
			else if (this.#parse(state.value) !== undefined) this.#early = state
		} catch (error) {
			this.#settings.onError(error)
		}
	}

	#check(): void {
		if (this.#closed) return
		this.#checkWanted = true
		this.#worker.wake()
	}

	#waiting(): Change<T>[] {
		const sent = this.#flight?.fold.changes ?? []
		return [...sent, ...this.#fold.changes].filter((change) => !change.settled)
	}

	#expireIn(ms: number): void {
		this.#expiry = setTimeout(() => this.#expire(), Math.max(1, Math.ceil(ms)))
		this.#expiry.unref()
	}

	#disarm(): void {
		if (this.#fold.changes.length > 0) return
		clearTimeout(this.#expiry)
		this.#expiry = undefined
	}

	/** Rejects what waited too long. A flight goes on for those of its changes that may still wait. */
	#expire(): void {
		const now = performance.now()
		const late = this.#waiting().filter((change) => change.expires <= now)
		const error = this.#deadlineError()
		for (const change of late) change.reject(error)
		const [next] = this.#waiting()
		this.#expiry = undefined
		if (next) this.#expireIn(next.expires - now)
		if (late.length === 0) return
		if (this.#flight === undefined || this.#flight.fold.changes.every((change) => change.settled))
			this.#unite()
		this.#settings.onError(error)
	}

	#deadlineError(): EvConflictError | EvUnavailableError {
		if (this.#obstacle instanceof EvConflictError) return this.#obstacle
		return new EvUnavailableError(
			`The store did not confirm a change of the state "${this.#name}" within ${this.#settings.deadline} ms. It may still take effect.`,
			{ cause: this.#obstacle },
		)
	}

	#refuseOverflow(): void {
		const waiting = this.#fold.changes.length + (this.#flight?.fold.changes.length ?? 0)
		const size = this.#committed?.value.length ?? this.#initial.length
		const most = Math.min(this.#settings.maxPending, Math.max(PENDING_LEAST, PENDING_MEMORY / size))
		if (waiting < most) return
		throw new EvUnavailableError(
			`${waiting} changes of the state "${this.#name}" already wait for the store. Change it less often, or raise maxPending.`,
			{ cause: this.#obstacle },
		)
	}

	/** Asks the store, and keeps in mind why it did not answer. */
	async #attempt<R>(ask: () => R | Promise<R>): Promise<R> {
		try {
			return await ask()
		} catch (error) {
			this.#obstacle = error
			// The adapter was closed: there is nothing to wait for any more.
			if (isClosed(error)) this.close()
			throw error
		}
	}

	/** An `equals` that throws rejects the change it was asked for; anywhere else it only costs a message. */
	#equal(a: T, b: T): boolean {
		try {
			return this.#rules.equals(a, b)
		} catch {
			return false
		}
	}

	#encode(value: T): string {
		const json = this.#outlet.encode(value)
		if (json === undefined) throw new EvInvalidMessageError('A shared state cannot hold undefined.')
		return json
	}

	#parse(json: string): T {
		try {
			return JSON.parse(json)
		} catch (cause) {
			throw new EvUnavailableError(`The store holds no JSON for the state "${this.#name}".`, { cause })
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

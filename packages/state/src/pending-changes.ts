import { randomUUID } from 'node:crypto'
import { EvConflictError, EvUnavailableError, type StoredState } from '@evstream/core'
import { Change } from './change.js'
import { outsideContext } from './context.js'
import { Fold } from './fold.js'
import type { Settings } from './settings.js'
import { Shown } from './shown.js'
import type { ValueRules } from './value-rules.js'

/** Changes that wait hold about this much of values, in characters of JSON, but at least so many changes. */
const PENDING_MEMORY = 64 * 1024 * 1024
const PENDING_LEAST = 100

/** How long changes are applied at a time, in ms: the event loop gets its turn after that. */
const SLICE_MS = 8

/** Changes on their way to the store. */
export interface Flight<T> {
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
 * The changes that wait for the store: so many at most, and none longer than its deadline. They are folded into one
 * flight at a time; what comes meanwhile goes into the next one, and after a conflict all of them are run again.
 *
 * ```
 *   base ──► flight (sent, no answer yet) ──► fold (what came since)
 *    │                                         └─ head: what get() gives
 *    └─ the committed value
 * ```
 */
export class PendingChanges<T> {
	/** Why the last attempt came to nothing. */
	obstacle: unknown
	readonly #name: string
	readonly #rules: ValueRules<T>
	readonly #settings: Settings
	readonly #writer = randomUUID()
	#operations = 0
	#base: T
	#fold: Fold<T>
	#flight: Flight<T> | undefined
	/** All that waits, applied on a value that overtook the flight: only for {@link head}. */
	#preview: Fold<T> | undefined
	/** The app's functions are running on it. */
	#running: Fold<T> | undefined
	#expiry: NodeJS.Timeout | undefined
	/** Some value was too large: each one is measured, to find out which. */
	#measured = false

	constructor(name: string, rules: ValueRules<T>, settings: Settings, base: T) {
		this.#name = name
		this.#rules = rules
		this.#settings = settings
		this.#base = base
		this.#fold = new Fold(rules, base)
	}

	/** The committed value. */
	get base(): T {
		return this.#base
	}

	get flight(): Flight<T> | undefined {
		return this.#flight
	}

	/** Whether there are changes for another flight. */
	get any(): boolean {
		return this.#fold.changes.length > 0
	}

	/**
	 * The committed value with everything that waits on top of it. A change that asks for it, and `equals`, get the
	 * value before the change: nothing may run while a change runs.
	 */
	head(): T {
		if (this.#running) return this.#running.reached
		const fold = this.#shownFold()
		this.#run(fold, Number.POSITIVE_INFINITY)
		return fold.reached
	}

	/**
	 * @param size - Of the committed value, in characters of JSON.
	 * @throws EvUnavailableError if too many changes wait.
	 */
	refuseOverflow(size: number): void {
		const waiting = this.#fold.changes.length + (this.#flight?.fold.changes.length ?? 0)
		const most = Math.min(this.#settings.maxPending, Math.max(PENDING_LEAST, PENDING_MEMORY / size))
		if (waiting < most) return
		throw new EvUnavailableError(
			`${waiting} changes of the state "${this.#name}" already wait for the store. Change it less often, or raise maxPending.`,
			{ cause: this.obstacle },
		)
	}

	add(run: (value: T) => T): Promise<T> {
		const change = new Change(run, performance.now() + this.#settings.deadline)
		this.#fold.changes.push(change)
		this.#preview?.changes.push(change)
		if (this.#expiry === undefined) outsideContext(() => this.#expireIn(this.#settings.deadline))
		return change.promise
	}

	/**
	 * Applies a slice of what waits, so that a flight with it can take off without holding the event loop.
	 *
	 * @returns Whether everything is applied.
	 */
	prepare(): boolean {
		return this.#run(this.#fold, SLICE_MS)
	}

	/**
	 * Makes a flight of what was prepared and a slice more, for the store to compare with `expected`. What that leaves
	 * goes into the next flight. If a value is too large there is no flight yet: each change must be prepared once
	 * more, and is measured.
	 */
	takeOff(expected: StoredState): void {
		const fold = this.#fold
		this.#run(fold, SLICE_MS)
		// A change may have closed the state, or have brought a new committed value.
		if (this.#fold !== fold) return
		const head = fold.reached
		let json: string
		try {
			json = this.#rules.encode(head)
		} catch (error) {
			if (this.#measured) throw error
			this.#measured = true
			this.#fold = fold.on(fold.base, true)
			return
		}
		this.#measured = false
		const same = head === fold.base || this.#calling(fold, () => this.#rules.same(fold.base, head))
		if (this.#fold !== fold) return
		const id = { writer: this.#writer, number: ++this.#operations }
		const stamp = `${id.writer}.${id.number}`
		this.#flight = { fold, id, stamp, expected, json: same ? undefined : json, stale: false, inDoubt: false }
		this.#fold = new Fold(this.#rules, head, fold.cut())
	}

	/** A new committed value: everything that waits goes on top of it. `own`: it is the flight that made it. */
	rebase(base: T, own: boolean): void {
		this.#base = base
		this.#preview = undefined
		if (this.#flight) this.#flight.stale = !own
		else this.#fold = this.#fold.on(base, this.#measured)
	}

	/** The flight took effect, or there was nothing to do. */
	landed(flight: Flight<T>): void {
		this.#flight = undefined
		this.#preview = undefined
		this.obstacle = undefined
		if (flight.stale) this.#fold = this.#fold.on(this.#base)
		const head = flight.fold.head()
		const shown = new Shown<T>(this.#rules.copy)
		flight.fold.settle(() => shown.of(head), this.#settings.onError)
		this.#disarm()
	}

	/** Another instance was faster than the flight. */
	refused(): void {
		this.obstacle = this.#conflict()
		this.unite()
	}

	/** It is the turn of another instance. A flight in doubt stays: what may take effect must not be applied twice. */
	postponed(): void {
		this.obstacle = this.#conflict()
		if (!this.#flight?.inDoubt) this.unite()
	}

	/** Nothing is on its way any more: all that still waits is applied again. */
	unite(): void {
		const waiting = this.#waiting()
		this.#flight = undefined
		this.#preview = undefined
		this.#fold = new Fold(this.#rules, this.#base, waiting, this.#measured)
	}

	/** Forgets everything. @returns what still waited, for the caller to reject. */
	clear(): Change<T>[] {
		clearTimeout(this.#expiry)
		const waiting = this.#waiting()
		this.#flight = undefined
		this.#preview = undefined
		this.#fold = new Fold(this.#rules, this.#base)
		return waiting
	}

	#run(fold: Fold<T>, ms: number): boolean {
		return this.#calling(fold, () => fold.run(ms))
	}

	/** Calls functions of the app about a fold. */
	#calling<R>(fold: Fold<T>, call: () => R): R {
		this.#running = fold
		try {
			return call()
		} finally {
			this.#running = undefined
		}
	}

	#shownFold(): Fold<T> {
		if (!this.#flight?.stale) return this.#fold
		this.#preview ??= new Fold(this.#rules, this.#base, this.#waiting())
		return this.#preview
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
		const errors = new Set<Error>()
		const flying = new Set(this.#flight?.fold.changes)
		const late = this.#waiting().filter((change) => change.expires <= now)
		const sent = this.#deadlineError(true)
		const unsent = this.#deadlineError(false)
		for (const change of late) {
			const error = flying.has(change) ? sent : unsent
			change.reject(error)
			errors.add(error)
		}
		const [next] = this.#waiting()
		this.#expiry = undefined
		if (next) this.#expireIn(next.expires - now)
		if (late.length === 0) return
		if (this.#flight === undefined || this.#flight.fold.changes.every((change) => change.settled))
			this.unite()
		for (const error of errors) this.#settings.onError(error)
	}

	#conflict(): EvConflictError {
		return new EvConflictError(
			`Other instances changed the state "${this.#name}" faster than this one. Change it less often, or raise deadline.`,
		)
	}

	/** @param sent - The change is on its way. */
	#deadlineError(sent: boolean): EvConflictError | EvUnavailableError {
		const end = sent ? 'It may still take effect.' : 'It does not take effect.'
		if (this.obstacle instanceof EvConflictError)
			return new EvConflictError(`${this.obstacle.message} ${end}`)
		return new EvUnavailableError(
			`The store did not confirm a change of the state "${this.#name}" within ${this.#settings.deadline} ms. ${end}`,
			{ cause: this.obstacle },
		)
	}
}

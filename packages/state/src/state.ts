import { EvInvalidMessageError } from '@evstream/core'
import { dequal } from 'dequal'
import { keepContext, outsideContext } from './context.js'
import type { Engine } from './engine.js'
import { LocalValue } from './local-value.js'
import { Outlet } from './outlet.js'
import { settings } from './settings.js'
import { SharedValue } from './shared-value.js'
import type { EvStateListener, EvStateOptions } from './types.js'

/**
 * A value that every client listening to its channel sees: at once when it begins to listen, and after every
 * change. With an adapter all instances share it, and no change of any of them is lost.
 *
 * Clients get the event `channel` with the data `{ [key]: value }`.
 */
export class EvState<T> {
	readonly #outlet: Outlet<T>
	readonly #engine: Engine<T>

	/**
	 * @throws EvInvalidMessageError (`EV_INVALID_MESSAGE`) if `initialValue` cannot be sent, or shared, as JSON, or
	 * is over `maxSize`, or `channel` has a line break.
	 * @throws TypeError, RangeError if an option is not what it should be.
	 * @throws Error if the channel already has a state.
	 */
	constructor(options: EvStateOptions<T>) {
		const { channel, initialValue, manager, adapter } = options
		const { equals: given = dequal } = options
		if (typeof channel !== 'string') throw new TypeError(`channel must be a string, not ${typeof channel}.`)
		if (/[\r\n]/.test(channel)) {
			throw new EvInvalidMessageError('The channel of a state is the name of its events: no line breaks.')
		}
		if (typeof manager?.provide !== 'function') throw new TypeError('manager must be an EvStreamManager.')
		if (adapter !== undefined && typeof adapter?.states?.commit !== 'function') {
			throw new TypeError('adapter must have a state store, as an EvRedisAdapter does.')
		}
		if (typeof given !== 'function') throw new TypeError('equals must be a function.')
		const equals = given === dequal ? given : keepContext(given)
		const checked = settings(options)
		const outlet = new Outlet<T>(manager, channel, checked)
		this.#outlet = outlet
		try {
			this.#engine = adapter
				? outsideContext(
						() => new SharedValue(channel, initialValue, adapter.states, outlet, equals, checked),
					)
				: new LocalValue(channel, initialValue, outlet, equals, checked.onError)
		} catch (error) {
			this.#outlet.close()
			throw error
		}
	}

	/**
	 * Rises with every commit. Without an adapter the initial value is version 1; with one it is 0 until the first
	 * load. It falls only if a store holds less than was published and no instance puts that back.
	 */
	get version(): number {
		return this.#engine.version
	}

	/**
	 * Resolves once the value was loaded; waits as long as the store is out of reach. Without an adapter at once.
	 * Rejects with `EvClosedError` if the state was closed before; ignoring it is safe.
	 */
	get ready(): Promise<void> {
		return this.#engine.ready
	}

	/** `true` once it was closed, by {@link close} or because the state was removed from the store. */
	get closed(): boolean {
		return this.#engine.closed
	}

	/**
	 * The current value, with this instance's own changes that still wait for the store. It is a copy that all
	 * callers share until the next change: read it, do not change it.
	 */
	get(): T {
		return this.#engine.get()
	}

	/**
	 * Changes the value. The function gets its own copy of the current value and returns the next one; changing the
	 * copy and returning it is fine. If it throws, or returns an equal value, nothing happens.
	 *
	 * Without an adapter the change is applied and sent when `set` returns (within another change or a subscriber:
	 * right after that one). With an adapter the function runs soon, and again when another instance was faster, so
	 * it must have no effects of its own; what came together is committed together. It always runs in the
	 * AsyncLocalStorage context of this call.
	 *
	 * @returns The value right after this change, once it is committed. Ignoring the promise is safe: errors go to
	 * `onError` too.
	 * @throws (rejects) what the function throws.
	 * @throws (rejects) TypeError if the function is asynchronous.
	 * @throws (rejects) EvInvalidMessageError (`EV_INVALID_MESSAGE`) if JSON cannot carry the value, or it is over
	 * `maxSize`.
	 * @throws (rejects) EvUnavailableError (`EV_UNAVAILABLE`) if the store did not answer before `deadline`, or too
	 * many changes wait.
	 * @throws (rejects) EvConflictError (`EV_CONFLICT`) if other instances were faster until `deadline`. The message of
	 * both says whether the change was on its way and may still take effect.
	 * @throws (rejects) EvClosedError (`EV_CLOSED`) if the state is closed, or was removed.
	 */
	set(change: (value: T) => T): Promise<T> {
		return this.#engine.set(change)
	}

	/**
	 * Calls the function with each committed value, in order of the versions, in the AsyncLocalStorage context of
	 * this call.
	 *
	 * @returns Its undo.
	 */
	subscribe(listener: EvStateListener<T>): () => void {
		return this.#outlet.subscribe(listener)
	}

	/**
	 * Lets go of the channel and the store, whose value stays. Changes that still wait are rejected with
	 * `EvClosedError`: await them first. Idempotent.
	 */
	close(): void {
		this.#engine.close()
	}
}

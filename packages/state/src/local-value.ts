import { EvClosedError } from '@evstream/core'
import { Change, refuseAsync, refusePromise, rejected } from './change.js'
import { outsideContext } from './context.js'
import { copyLoose } from './copy.js'
import type { Engine } from './engine.js'
import type { Outlet } from './outlet.js'
import { Shown } from './shown.js'

/** The value of one process: a change is applied and sent when `set` returns. */
export class LocalValue<T> implements Engine<T> {
	readonly ready: Promise<void> = outsideContext(() => Promise.resolve())
	readonly #name: string
	readonly #outlet: Outlet<T>
	readonly #equals: (a: T, b: T) => boolean
	readonly #onError: (error: unknown) => void
	readonly #shown = new Shown<T>(copyLoose)
	/** Changes asked for from within a change or a subscriber: one at a time, in order. */
	readonly #waiting: Change<T>[] = []
	#value: T
	#version = 1
	#busy = false
	#closed = false

	constructor(
		name: string,
		initial: T,
		outlet: Outlet<T>,
		equals: (a: T, b: T) => boolean,
		onError: (error: unknown) => void,
	) {
		this.#name = name
		this.#outlet = outlet
		this.#equals = equals
		this.#onError = onError
		outlet.prepare(outlet.encode(initial))
		this.#value = copyLoose(initial)
	}

	get version(): number {
		return this.#version
	}

	get closed(): boolean {
		return this.#closed
	}

	get(): T {
		return this.#shown.of(this.#value)
	}

	set(run: (value: T) => T): Promise<T> {
		if (this.#closed) return rejected(this.#closedError())
		try {
			refuseAsync(run)
		} catch (error) {
			this.#onError(error)
			return rejected(error)
		}
		if (this.#busy) {
			const change = new Change(run, Number.POSITIVE_INFINITY)
			this.#waiting.push(change)
			return change.promise
		}
		this.#busy = true
		try {
			return Promise.resolve(this.#apply(run))
		} catch (error) {
			this.#onError(error)
			return rejected(error)
		} finally {
			this.#drain()
			this.#busy = false
		}
	}

	close(): void {
		if (this.#closed) return
		this.#closed = true
		for (const change of this.#waiting.splice(0)) change.reject(this.#closedError())
		this.#outlet.close()
	}

	#drain(): void {
		for (let change = this.#waiting.shift(); change; change = this.#waiting.shift()) {
			try {
				change.resolve(this.#apply(change.run))
			} catch (error) {
				this.#onError(error)
				change.reject(error)
			}
		}
	}

	/** All or nothing: whatever throws does so before anything has changed. */
	#apply(run: (value: T) => T): T {
		const result = run(copyLoose(this.#value))
		refusePromise(result)
		if (this.#equals(this.#value, result)) return result
		const json = this.#outlet.encode(result)
		const value = copyLoose(result)
		// The app's functions that ran above may have closed it.
		if (this.#closed) throw this.#closedError()
		this.#value = value
		this.#version++
		this.#outlet.prepare(json)
		this.#outlet.broadcast()
		this.#outlet.notify(() => this.get(), this.#version)
		return result
	}

	#closedError(): EvClosedError {
		return new EvClosedError(`The state "${this.#name}"`)
	}
}

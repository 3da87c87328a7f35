import { keepContext } from './context.js'

/** One call of `set` that waits for its turn. */
export class Change<T> {
	readonly promise: Promise<T>
	/** The function given to `set`, in the context of that call. */
	readonly run: (value: T) => T
	/** Its promise is decided: it waits no more. */
	settled = false
	#resolve: (value: T) => void = ignore
	#reject: (error: unknown) => void = ignore

	constructor(
		run: (value: T) => T,
		/** When it is rejected, in the time of `performance.now()`. */
		readonly expires: number,
	) {
		this.run = keepContext(run)
		this.promise = new Promise((resolve, reject) => {
			this.#resolve = resolve
			this.#reject = reject
		})
	}

	resolve(value: T): void {
		this.settled = true
		this.#resolve(value)
	}

	/** Whoever ignores the promise is left in peace. */
	reject(error: unknown): void {
		this.settled = true
		this.promise.catch(ignore)
		this.#reject(error)
	}
}

/** A rejection that may be ignored. */
export function rejected<T>(error: unknown): Promise<T> {
	const promise = Promise.reject<T>(error)
	promise.catch(ignore)
	return promise
}

/** @throws TypeError if a function gave a promise: what it resolves with would come too late. */
export function refusePromise(result: unknown): void {
	if (result === null || (typeof result !== 'object' && typeof result !== 'function')) return
	if (typeof Reflect.get(result, 'then') !== 'function') return
	Promise.resolve(result).catch(ignore)
	throw asynchronous()
}

/** @throws TypeError if it is not a function that can give a value at once. */
export function refuseAsync(run: unknown): void {
	if (typeof run !== 'function') throw new TypeError(`set takes a function, not ${typeof run}.`)
	if (Object.prototype.toString.call(run) === '[object AsyncFunction]') throw asynchronous()
}

function asynchronous(): TypeError {
	return new TypeError(
		'The function given to set must be synchronous. Await first, then call set with the result.',
	)
}

function ignore(): void {}

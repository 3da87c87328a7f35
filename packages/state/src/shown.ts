import type { Copy } from './copy.js'

/**
 * The copy of a value that is given out. Whoever changes it spoils it for other readers until the next change, but
 * never the value itself. Made only when somebody asks, once for each value.
 */
export class Shown<T> {
	readonly #copy: Copy
	#made: { readonly of: T; readonly copy: T } | undefined

	constructor(copy: Copy) {
		this.#copy = copy
	}

	of(value: T): T {
		if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return value
		if (this.#made === undefined || this.#made.of !== value) {
			this.#made = { of: value, copy: this.#copy(value) }
		}
		return this.#made.copy
	}
}

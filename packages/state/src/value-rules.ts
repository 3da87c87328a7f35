import { EvInvalidMessageError, EvUnavailableError } from '@evstream/core'
import { copyStrict } from './copy.js'
import type { FoldRules } from './fold.js'
import type { Outlet } from './outlet.js'

/** How the values of a shared state are copied, compared, and turned into JSON and back. */
export class ValueRules<T> implements FoldRules<T> {
	readonly copy: typeof copyStrict = copyStrict
	readonly equals: (a: T, b: T) => boolean
	readonly #name: string
	readonly #outlet: Outlet<T>

	constructor(name: string, outlet: Outlet<T>, equals: (a: T, b: T) => boolean) {
		this.#name = name
		this.#outlet = outlet
		this.equals = equals
	}

	readonly measure = (value: T): void => {
		this.encode(value)
	}

	/** An `equals` that throws rejects the change it was asked for; anywhere else it only costs a message. */
	same(a: T, b: T): boolean {
		try {
			return this.equals(a, b)
		} catch {
			return false
		}
	}

	/** @throws EvInvalidMessageError if JSON cannot carry it, or it is over `maxSize`. */
	encode(value: T): string {
		const json = this.#outlet.encode(value)
		if (json === undefined) throw new EvInvalidMessageError('A shared state cannot hold undefined.')
		return json
	}

	/** @throws EvUnavailableError if it is no JSON. */
	parse(json: string): T {
		try {
			return JSON.parse(json)
		} catch (cause) {
			throw new EvUnavailableError(`The store holds no JSON for the state "${this.#name}".`, { cause })
		}
	}
}

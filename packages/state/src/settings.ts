import { safeOnError } from '@evstream/core'
import { keepContext } from './context.js'
import type { EvStateSettings } from './types.js'

/** {@link EvStateSettings}, checked and complete. */
export interface Settings {
	readonly key: string
	readonly snapshot: boolean
	readonly maxSize: number
	readonly maxPending: number
	readonly deadline: number
	readonly checkInterval: number | false
	/** Never throws, and runs in the context in which it was given. */
	readonly onError: (error: unknown) => void
	/** Identifies who `onError` tells, see {@link "outage"}. */
	readonly receiver: unknown
}

/**
 * @throws TypeError if an option has the wrong type.
 * @throws RangeError if a number is out of its range.
 */
export function settings(options: EvStateSettings & { readonly receiver?: unknown }): Settings {
	const { key = 'value', snapshot = true, checkInterval = 30_000, onError } = options
	if (typeof key !== 'string') throw new TypeError(`key must be a string, not ${typeof key}.`)
	if (typeof snapshot !== 'boolean')
		throw new TypeError(`snapshot must be a boolean, not ${typeof snapshot}.`)
	if (onError !== undefined && typeof onError !== 'function')
		throw new TypeError('onError must be a function.')
	return {
		key,
		snapshot,
		maxSize: number('maxSize', options.maxSize ?? 262_144, 1, Number.MAX_SAFE_INTEGER),
		maxPending: number('maxPending', options.maxPending ?? 100_000, 1, Number.MAX_SAFE_INTEGER),
		deadline: number('deadline', options.deadline ?? 30_000, 1, 600_000),
		checkInterval: checkInterval === false ? false : number('checkInterval', checkInterval, 1, 86_400_000),
		onError: safeOnError(onError === undefined ? undefined : keepContext(onError)),
		receiver: options.receiver ?? onError,
	}
}

function number(name: string, value: unknown, least: number, most: number): number {
	if (typeof value !== 'number') throw new TypeError(`${name} must be a number, not ${typeof value}.`)
	if (!(value >= least && value <= most)) {
		throw new RangeError(`${name} must be a number from ${least} to ${most}, not ${value}.`)
	}
	return value
}

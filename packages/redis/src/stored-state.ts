import type { StoredState } from '@evstream/core'

/**
 * The three fields of a state as a script gives them: `undefined` if there is none.
 *
 * @throws Error if they are not what this library writes.
 */
export function storedState(version: unknown, stamp: unknown, value: unknown): StoredState | undefined {
	if (version === null || version === undefined) return undefined
	const state = checked(version, stamp, value)
	if (state === undefined) throw new Error('The key of the state holds something else than a state.')
	return state
}

/** `<version> <stamp> <value>`, as it is published; `undefined` if it is not that. */
export function publishedState(payload: string): StoredState | undefined {
	const first = payload.indexOf(' ')
	const second = payload.indexOf(' ', first + 1)
	if (first < 0 || second < 0) return undefined
	return checked(payload.slice(0, first), payload.slice(first + 1, second), payload.slice(second + 1))
}

function checked(version: unknown, stamp: unknown, value: unknown): StoredState | undefined {
	if (typeof version !== 'string' || typeof stamp !== 'string' || typeof value !== 'string') return undefined
	if (!/^[1-9]\d{0,15}$/.test(version) || !/^[A-Za-z0-9_.-]{1,100}$/.test(stamp)) return undefined
	const number = Number(version)
	return Number.isSafeInteger(number) ? { version: number, stamp, value } : undefined
}

import type { ListChange, StoredState } from '@evstream/core'

/** The incarnation of a state that an earlier release created. */
const UNKNOWN = '-'

/**
 * The four fields of a state as a script gives them: `undefined` if there is none.
 *
 * @throws Error if they are not what this library writes.
 */
export function storedState(
	version: unknown,
	stamp: unknown,
	value: unknown,
	born: unknown,
): StoredState | undefined {
	if (version === null || version === undefined) return undefined
	const state = checked(version, stamp, value, born ?? UNKNOWN)
	if (state === undefined) throw new Error('The key of the state holds something else than a state.')
	return state
}

/** `<version> <stamp> <incarnation> <value>`, as it is published; `undefined` if it is not that. */
export function publishedState(payload: string): StoredState | undefined {
	const [version, stamp, born, value] = split(payload, 3)
	return checked(version, stamp, value, born)
}

/** `<stamp before> <stamp after> <name>`, as it is published; `undefined` if it is not that. */
export function publishedChange(payload: string): ListChange | undefined {
	const [before, after, name] = split(payload, 2)
	if (before === undefined || after === undefined || name === undefined) return undefined
	return { before, after, name }
}

/** What stands between the first spaces, so many of them, and what comes after the last of these. */
function split(text: string, spaces: number): string[] {
	const parts: string[] = []
	let begin = 0
	for (let part = 0; part < spaces; part++) {
		const end = text.indexOf(' ', begin)
		if (end < 0) return []
		parts.push(text.slice(begin, end))
		begin = end + 1
	}
	return [...parts, text.slice(begin)]
}

function checked(version: unknown, stamp: unknown, value: unknown, born: unknown): StoredState | undefined {
	if (typeof version !== 'string' || typeof value !== 'string') return undefined
	if (!isStamp(stamp) || !isStamp(born) || !/^[1-9]\d{0,15}$/.test(version)) return undefined
	const number = Number(version)
	return Number.isSafeInteger(number) ? { version: number, stamp, born, value } : undefined
}

function isStamp(text: unknown): text is string {
	return typeof text === 'string' && /^[A-Za-z0-9_.-]{1,100}$/.test(text)
}

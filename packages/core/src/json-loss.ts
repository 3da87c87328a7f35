import { types } from 'node:util'

/** A value within the root, and how to get there. */
interface Place {
	readonly value: unknown
	readonly holder: Place | undefined
	readonly key: string | number
}

/**
 * Looks for what JSON would change silently, level by level: a recursive function could overflow the stack on a value
 * that `JSON.stringify` can take. Slow, so only for a value that is suspected.
 *
 * @param root - A value that JSON has a form for.
 * @returns The message for the first such value, or `undefined` if there is none.
 */
export function lossIn(root: unknown, name: string): string | undefined {
	const places: Place[] = [{ value: root, holder: undefined, key: name }]
	// The list grows while it is read.
	for (const place of places) {
		const { value } = place
		const loss = lossOf(value)
		if (loss !== undefined) return `${pathOf(place)} ${loss}`
		if (typeof value !== 'object' || value === null || convertsItself(value)) continue
		if (Array.isArray(value)) {
			for (let key = 0; key < value.length; key++) places.push({ value: value[key], holder: place, key })
		} else {
			for (const [key, item] of Object.entries(value)) {
				if (item !== undefined) places.push({ value: item, holder: place, key })
			}
		}
	}
	return undefined
}

/** Whether JSON takes what `toJSON` returns in place of the value. */
export function convertsItself(value: { readonly toJSON?: unknown }): boolean {
	return typeof value.toJSON === 'function'
}

/** A date without a time: its `toJSON` returns `null`. */
export function isInvalidDate(value: unknown): boolean {
	return types.isDate(value) && Number.isNaN(value.getTime())
}

/** The kind of a built-in object: `Map`, `Error`, `Headers`. `Object` for plain objects and instances of most classes. */
export function tagOf(value: unknown): string {
	return Object.prototype.toString.call(value).slice('[object '.length, -1)
}

function lossOf(value: unknown): string | undefined {
	switch (typeof value) {
		case 'number':
			return Number.isFinite(value) ? undefined : turnsIntoNull(String(value))
		case 'undefined':
			return 'is undefined, which JSON turns into null in an array. Send null, or leave the element out.'
		case 'symbol':
			return 'is a symbol, which JSON has no form for. Leave it out.'
		case 'function': {
			const object: object = value
			return convertsItself(object) ? undefined : 'is a function, which JSON has no form for. Leave it out.'
		}
		case 'object':
			return value === null ? undefined : lossOfObject(value)
		default:
			return undefined
	}
}

function lossOfObject(value: object): string | undefined {
	if (isInvalidDate(value)) return turnsIntoNull('an invalid Date')
	if (Array.isArray(value) || convertsItself(value)) return undefined
	// JSON takes the primitive out of it.
	if (types.isBoxedPrimitive(value)) return lossOf(value.valueOf())
	const tag = tagOf(value)
	// A module has no prototype and is what its exports are.
	if (tag === 'Object' || Object.getPrototypeOf(value) === null) return undefined
	const json = JSON.stringify(value)
	const becomes = json.length > 40 ? 'an object without its content' : json
	const article = /^[AEIO]/.test(tag) ? 'an' : 'a'
	return `is ${article} ${tag}, which JSON turns into ${becomes}. Convert it into plain objects and arrays, or give it a toJSON method.`
}

function turnsIntoNull(what: string): string {
	return `is ${what}, which JSON turns into null. Send null or a string in its place.`
}

function pathOf(place: Place): string {
	const parts: string[] = []
	let at = place
	for (; at.holder !== undefined; at = at.holder) parts.push(step(at.key))
	return `${at.key}${parts.reverse().join('')}`
}

function step(key: string | number): string {
	if (typeof key === 'number') return `[${key}]`
	return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
}

import { EvInvalidMessageError } from './errors.js'
import { convertsItself, isInvalidDate, lossIn, tagOf } from './json-loss.js'

/** A shorter text takes longer to search than the array it is of. */
const SEARCHED_TEXT = 64
/** An object with a longer text may be a dictionary. */
const LONG_TEXT = 2048
/** Up to this length an array is read in place. */
const SHORT_ARRAY = 8
/** The most items that are passed as arguments: they lie on the stack. */
const CHUNK = 4096

/**
 * `JSON.stringify`, but a value that JSON would change silently is refused: `NaN` and the infinities, a `Map`, a
 * `Set`, an `Error` and other built-in objects without `toJSON`, functions, symbols, and `undefined` in an array.
 *
 * What stays as JSON has it: an object with a `toJSON` method is taken at its word (an invalid `Date` is not), an
 * instance of a class is sent as its own enumerable fields, a property that is `undefined` is left out, and `-0` is `0`.
 *
 * @param value - What to encode.
 * @param name - What the error calls the value. Default `data`.
 * @returns The JSON, or `undefined` for `undefined`.
 * @throws {@link EvInvalidMessageError} `EV_INVALID_MESSAGE` with the path of what cannot be sent.
 */
export function encodeJson(value: unknown, name = 'data'): string | undefined {
	if (value === undefined) return undefined
	let json: string | undefined
	let loss: string | undefined
	try {
		json = JSON.stringify(value)
		if (json === undefined || !isExact(value, json)) loss = lossIn(value, name)
	} catch (cause) {
		throw new EvInvalidMessageError(
			`${name} has no JSON form: it has a cycle, a BigInt, or a getter or toJSON that throws. Send plain data.`,
			{ cause },
		)
	}
	if (loss !== undefined) throw new EvInvalidMessageError(loss)
	if (json === undefined) {
		throw new EvInvalidMessageError(
			`${name} has no JSON form: its toJSON returned nothing. Return a value from it.`,
		)
	}
	return json
}

/**
 * Whether the text certainly says all that is in the value. `false` only asks for a closer look, which is slow. Every
 * message passes here, so every nanosecond counts.
 */
function isExact(value: unknown, json: string): boolean {
	try {
		if (Array.isArray(value) && json.length > SEARCHED_TEXT) {
			// Where JSON wrote `null` for something else, there is a `null`; where an object lost its content, a `{`.
			if (!json.includes('{') && !json.includes('null')) return true
		} else if (json.length > LONG_TEXT && isRecord(value)) {
			return isExactDictionary(value)
		}
		return isExactItem(value)
	} catch {
		// Nested too deeply for a recursive function, or a getter threw.
		return false
	}
}

type UnknownRecord = Readonly<Record<string, unknown>>

function isRecord(value: unknown): value is UnknownRecord {
	return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isExactItem(item: unknown): boolean {
	return isExactScalar(item) || isExactOther(item)
}

/** Small, so that V8 puts it in place of its calls: most items are scalars. */
function isExactScalar(item: unknown): boolean {
	if (item === null) return true
	// The difference of two infinities is `NaN`. V8 does this faster than `Number.isFinite`.
	if (typeof item === 'number') return item - item === 0
	return typeof item === 'string' || typeof item === 'boolean'
}

function isExactOther(item: unknown): boolean {
	if (Array.isArray(item)) return isExactArray(item)
	if (isRecord(item)) return isExactObject(item)
	// JSON has refused a BigInt that has no `toJSON`.
	return typeof item === 'bigint'
}

function isExactObject(object: UnknownRecord): boolean {
	// Reading `constructor` is faster than asking for the prototype.
	if (object.constructor !== Object && isForeign(object)) return isConvertible(object)
	for (const key in object) {
		const item = object[key]
		if (item === undefined || isExactItem(item)) continue
		// JSON leaves out what is inherited, such as the methods of a class from before 2015.
		if (Object.hasOwn(object, key)) return false
	}
	return true
}

/**
 * The same for what may have hundreds of keys. V8 keeps such objects as hash tables, where `for…in` looks up each key
 * once more; and a loop that has met one of them is slower for small objects from then on.
 */
function isExactDictionary(object: UnknownRecord): boolean {
	if (object.constructor !== Object && isForeign(object)) return isConvertible(object)
	for (const key of Object.keys(object)) {
		const item = object[key]
		if (item !== undefined && !isExactItem(item)) return false
	}
	return true
}

/** Not plain, and not an instance of a class that JSON writes with its own fields. */
function isForeign(object: UnknownRecord): boolean {
	return convertsItself(object) || tagOf(object) !== 'Object'
}

function isConvertible(object: UnknownRecord): boolean {
	return convertsItself(object) && !isInvalidDate(object)
}

function isExactArray(array: readonly unknown[]): boolean {
	const { length } = array
	if (length <= SHORT_ARRAY) {
		for (let index = 0; index < length; index++) if (!isExactItem(array[index])) return false
		return true
	}
	if (length <= CHUNK) return Reflect.apply(areExact, undefined, array)
	for (let from = 0; from < length; from += CHUNK) {
		if (!Reflect.apply(areExact, undefined, array.slice(from, from + CHUNK))) return false
	}
	return true
}

/**
 * V8 stores arrays in six ways, and a loop that has met them all takes several times as long. Rest parameters are always
 * stored in the most general one.
 */
function areExact(...items: unknown[]): boolean {
	for (let index = 0; index < items.length; index++) {
		const item = items[index]
		if (!isExactScalar(item) && !isExactOther(item)) return false
	}
	return true
}

import { EvInvalidMessageError } from '@evstream/core'

/** Deeper than this is taken for a cycle; `JSON.stringify` overflows a little later. */
const MAX_DEPTH = 500

/** Makes a copy that shares nothing mutable with the value. */
export type Copy = <T>(value: T) => T

/**
 * The copy for a state of one process: arrays, plain objects, dates, maps and sets are copied all the way down;
 * anything else (functions, instances of classes) is shared.
 *
 * @throws EvInvalidMessageError if the value is cyclic.
 */
export const copyLoose: Copy = (value) => (isPrimitive(value) ? value : copyNode(value, looseNode, 0))

/**
 * The copy for a state of several instances: what JSON gives back is what was put in, so anything that JSON would
 * change or drop is refused. Only properties that are `undefined` are left out.
 *
 * @throws EvInvalidMessageError if JSON cannot carry the value.
 */
export const copyStrict: Copy = (value) => copyNode(value, strictNode, 0)

function isPrimitive(value: unknown): boolean {
	return value === null || (typeof value !== 'object' && typeof value !== 'function')
}

type CopyNode = (value: unknown, depth: number) => unknown

/** The node functions give back a value of the type they were given: said here once, to the compiler. */
function copyNode<T>(value: T, node: CopyNode, depth: number): T
function copyNode(value: unknown, node: CopyNode, depth: number): unknown {
	return node(value, depth)
}

function looseNode(value: unknown, depth: number): unknown {
	if (value === null || typeof value !== 'object') return value
	if (depth > MAX_DEPTH) throw tooDeep()
	if (Array.isArray(value)) return copyArray(value, looseNode, depth)
	if (isPlain(value)) return copyObject(value, looseNode, depth, false)
	if (value instanceof Date) return new Date(value)
	if (value instanceof Map) {
		const copy = new Map<unknown, unknown>()
		for (const [key, item] of value) copy.set(looseNode(key, depth + 1), looseNode(item, depth + 1))
		return copy
	}
	if (value instanceof Set) {
		const copy = new Set<unknown>()
		for (const item of value) copy.add(looseNode(item, depth + 1))
		return copy
	}
	return value
}

function strictNode(value: unknown, depth: number): unknown {
	switch (typeof value) {
		case 'string':
		case 'boolean':
			return value
		case 'number':
			if (!Number.isFinite(value)) throw notJson(String(value))
			return value === 0 ? 0 : value
		case 'object':
			if (value === null) return value
			if (depth > MAX_DEPTH) throw tooDeep()
			if (Array.isArray(value)) return copyArray(value, strictNode, depth)
			if (isPlain(value) && typeof Reflect.get(value, 'toJSON') !== 'function') {
				return copyObject(value, strictNode, depth, true)
			}
			throw notJson(`an instance of ${value.constructor?.name || 'a class'}`)
		default:
			throw notJson(typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`)
	}
}

function copyArray(value: readonly unknown[], node: CopyNode, depth: number): unknown[] {
	const copy: unknown[] = new Array(value.length)
	for (let index = 0; index < value.length; index++) copy[index] = node(value[index], depth + 1)
	return copy
}

function copyObject(value: object, node: CopyNode, depth: number, dropUndefined: boolean): object {
	const copy: Record<string, unknown> = {}
	for (const [key, item] of Object.entries(value)) {
		if (item === undefined && dropUndefined) continue
		const copied = node(item, depth + 1)
		if (key === '__proto__') {
			Object.defineProperty(copy, key, {
				value: copied,
				configurable: true,
				enumerable: true,
				writable: true,
			})
		} else {
			copy[key] = copied
		}
	}
	return copy
}

/** Also true for plain objects of another realm, whose prototype is another `Object.prototype`. */
function isPlain(value: object): boolean {
	const prototype: unknown = Object.getPrototypeOf(value)
	return prototype === null || (typeof prototype === 'object' && Object.getPrototypeOf(prototype) === null)
}

function tooDeep(): EvInvalidMessageError {
	return new EvInvalidMessageError(
		`The value of a state is cyclic or nested deeper than ${MAX_DEPTH} levels. Keep references as ids.`,
	)
}

function notJson(what: string): EvInvalidMessageError {
	return new EvInvalidMessageError(
		`A shared state cannot hold ${what}: JSON would change it. Use plain objects, arrays, strings, finite numbers, booleans and null.`,
	)
}

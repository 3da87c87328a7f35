import { EvInvalidMessageError } from '@evstream/core'

/** Deeper than this is taken for a cycle; `JSON.stringify` overflows a little later. */
const MAX_DEPTH = 500

/** Makes a copy that shares nothing mutable with the value. */
export type Copy = <T>(value: T) => T

/**
 * The copy for a state of one process: arrays, plain objects and dates are copied all the way down; instances of
 * classes are shared.
 *
 * @throws EvInvalidMessageError if the value is cyclic.
 */
export const copyLoose: Copy = (value) => (isPrimitive(value) ? value : copyNode(value, looseNode, 0))

/**
 * The copy for a state of several instances: what JSON gives back is what was put in, so anything that JSON would
 * change or convert is refused, also dates and instances of classes. Only properties that are `undefined` are left out.
 *
 * @throws EvInvalidMessageError if JSON cannot carry the value.
 */
export const copyStrict: Copy = (value) => {
	try {
		return copyNode(value, strictNode, 0)
	} catch (error) {
		throw error instanceof Refusal ? error.toError() : error
	}
}

/** Why a value is refused. On its way out of the recursion it collects where the value is. */
class Refusal extends Error {
	readonly #path: string[] = []

	within(key: string | number): this {
		this.#path.unshift(typeof key === 'number' ? `[${key}]` : `.${key}`)
		return this
	}

	toError(): EvInvalidMessageError {
		return new EvInvalidMessageError(
			`A shared state cannot hold this: value${this.#path.join('')} is ${this.message}, which JSON would change. Use plain objects, arrays, strings, finite numbers, booleans and null.`,
		)
	}
}

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
	return value
}

function strictNode(value: unknown, depth: number): unknown {
	switch (typeof value) {
		case 'string':
		case 'boolean':
			return value
		case 'number':
			if (!Number.isFinite(value)) throw new Refusal(String(value))
			return value === 0 ? 0 : value
		case 'object':
			if (value === null) return value
			if (depth > MAX_DEPTH) throw tooDeep()
			if (Array.isArray(value)) return copyArray(value, strictNode, depth)
			if (isPlain(value) && typeof Reflect.get(value, 'toJSON') !== 'function') {
				return copyObject(value, strictNode, depth, true)
			}
			throw new Refusal(`an instance of ${value.constructor?.name || 'a class'}`)
		default:
			throw new Refusal(typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`)
	}
}

function copyArray(value: readonly unknown[], node: CopyNode, depth: number): unknown[] {
	const copy: unknown[] = new Array(value.length)
	let index = 0
	try {
		for (; index < value.length; index++) copy[index] = node(value[index], depth + 1)
	} catch (error) {
		throw error instanceof Refusal ? error.within(index) : error
	}
	return copy
}

function copyObject(value: object, node: CopyNode, depth: number, dropUndefined: boolean): object {
	const copy: Record<string, unknown> = {}
	for (const [key, item] of Object.entries(value)) {
		if (item === undefined && dropUndefined) continue
		const copied = copyProperty(key, item, node, depth)
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

function copyProperty(key: string, item: unknown, node: CopyNode, depth: number): unknown {
	try {
		return node(item, depth + 1)
	} catch (error) {
		throw error instanceof Refusal ? error.within(key) : error
	}
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

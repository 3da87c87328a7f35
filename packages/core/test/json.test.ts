import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { EvInvalidMessageError, encodeJson } from '../src/index.js'
import { fc } from './support/random.js'
import { thrownBy } from './support/visit.js'

class Point {
	#secret = 1
	constructor(
		readonly x: number,
		readonly y?: number,
	) {}
	get sum(): number {
		return this.x + this.#secret
	}
}

/** A class as compilers wrote it before 2015: its methods are enumerable. */
function OldPoint(this: { x: number }): void {
	this.x = 1
}
OldPoint.prototype.move = () => {}

const cyclicButConverted = Object.defineProperty({}, 'toJSON', { value: () => 'converted' })
Reflect.set(cyclicButConverted, 'self', cyclicButConverted)

const accepted: [what: string, value: unknown, json: string][] = [
	['null', null, 'null'],
	['a boolean', false, 'false'],
	['-0, which arrives as 0', { zero: -0 }, '{"zero":0}'],
	['an undefined property, which reads as before', { a: undefined, b: 1 }, '{"b":1}'],
	['strings that look like losses', ['null', '{}', 'NaN'], '["null","{}","NaN"]'],
	['null in arrays and objects', { a: null, b: [null] }, '{"a":null,"b":[null]}'],
	['a date', { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
	['a Buffer, which converts itself', Buffer.from('a'), '{"type":"Buffer","data":[97]}'],
	['a Map with toJSON', Object.assign(new Map(), { toJSON: () => [1] }), '[1]'],
	['a function with toJSON', { f: Object.assign(() => {}, { toJSON: () => 1 }) }, '{"f":1}'],
	['own fields of an instance', [new Point(1), new Point(1, 2)], '[{"x":1},{"x":1,"y":2}]'],
	['an instance with enumerable methods', Reflect.construct(OldPoint, []), '{"x":1}'],
	['an object without a prototype', Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
	['an object of another realm', runInNewContext('({ a: [1, { b: null }] })'), '{"a":[1,{"b":null}]}'],
	[
		'the keys constructor and __proto__',
		JSON.parse('{"constructor":1,"__proto__":2}'),
		'{"constructor":1,"__proto__":2}',
	],
	['boxed primitives', [Object(1), Object('a'), Object(true), { a: null }], '[1,"a",true,{"a":null}]'],
	['symbol keys, which are not part of the data', { [Symbol('a')]: 1, b: 2 }, '{"b":2}'],
	['a cycle behind toJSON', { a: cyclicButConverted, b: null }, '{"a":"converted","b":null}'],
	['the same object twice', [{ a: 1 }].flatMap((one) => [one, one]), '[{"a":1},{"a":1}]'],
]

const refused: [what: string, value: unknown, message: string][] = [
	['NaN', Number.NaN, 'data is NaN, which JSON turns into null.'],
	['Infinity', { a: Number.POSITIVE_INFINITY }, 'data.a is Infinity, which JSON turns into null.'],
	['-Infinity', [[Number.NEGATIVE_INFINITY]], 'data[0][0] is -Infinity, which JSON turns into null.'],
	['a boxed NaN', [Object(Number.NaN)], 'data[0] is NaN, which JSON turns into null.'],
	[
		'an invalid date',
		{ at: new Date(Number.NaN) },
		'data.at is an invalid Date, which JSON turns into null.',
	],
	[
		'a Map',
		{ items: [0, 1, 2, { when: new Map([[1, 2]]) }] },
		'data.items[3].when is a Map, which JSON turns into {}.',
	],
	['a Set', new Set([1]), 'data is a Set, which JSON turns into {}.'],
	['a WeakMap', [new WeakMap()], 'data[0] is a WeakMap, which JSON turns into {}.'],
	['a RegExp', { a: /a/ }, 'data.a is a RegExp, which JSON turns into {}.'],
	['an Error', { error: new Error('no') }, 'data.error is an Error, which JSON turns into {}.'],
	[
		'an Error with a code',
		Object.assign(new Error('no'), { code: 'ENOENT' }),
		'data is an Error, which JSON turns into {"code":"ENOENT"}.',
	],
	[
		'a subclass of Map with fields',
		Object.assign(new (class extends Map {})(), { x: 1 }),
		'data is a Map, which JSON turns into {"x":1}.',
	],
	['a Map of another realm', [runInNewContext('new Map()')], 'data[0] is a Map, which JSON turns into {}.'],
	['a typed array', { a: new Uint8Array(2) }, 'data.a is a Uint8Array, which JSON turns into {"0":0,"1":0}.'],
	[
		'a long typed array',
		new Float64Array(99),
		'data is a Float64Array, which JSON turns into an object without its content.',
	],
	['an ArrayBuffer', new ArrayBuffer(1), 'data is an ArrayBuffer, which JSON turns into {}.'],
	['a promise', { a: Promise.resolve() }, 'data.a is a Promise, which JSON turns into {}.'],
	['a generator', [(function* () {})()], 'data[0] is a Generator, which JSON turns into {}.'],
	[
		'URLSearchParams',
		{ q: new URLSearchParams('a=1') },
		'data.q is a URLSearchParams, which JSON turns into {}.',
	],
	['undefined in an array', [1, undefined], 'data[1] is undefined, which JSON turns into null in an array.'],
	[
		'a hole in an array',
		{ a: new Array(1) },
		'data.a[0] is undefined, which JSON turns into null in an array.',
	],
	['a function', () => {}, 'data is a function, which JSON has no form for.'],
	[
		'a function as a property',
		{ 'a-b': { run() {} } },
		'data["a-b"].run is a function, which JSON has no form for.',
	],
	['a function in an array', [() => {}], 'data[0] is a function, which JSON has no form for.'],
	['a symbol', { a: Symbol('a') }, 'data.a is a symbol, which JSON has no form for.'],
	[
		'a class field that is a function',
		new (class {
			a = 1
			run = () => {}
		})(),
		'data.run is a function, which JSON has no form for.',
	],
	[
		'a loss under the key __proto__',
		JSON.parse('{"__proto__":{"a":1}}', (key, value) => (key === 'a' ? Number.NaN : value)),
		'data.__proto__.a is NaN, which JSON turns into null.',
	],
]

const formless: [what: string, value: unknown, message: string][] = [
	[
		'a BigInt',
		{ a: 1n },
		'data has no JSON form: it has a cycle, a BigInt, or a getter or toJSON that throws.',
	],
	['a toJSON that returns nothing', { toJSON() {} }, 'data has no JSON form: its toJSON returned nothing.'],
]

/** Small, and so large that its text is searched first. */
const sizes: [string, (value: unknown) => unknown, prefix: string][] = [
	['small', (value) => value, 'data'],
	['in a long array', (value) => [...new Array(5000).fill('x'), value], 'data[5000]'],
	[
		'among many objects',
		(value) => ({ rows: Array.from({ length: 300 }, (_, id) => ({ id, a: 'b' })), value }),
		'data.value',
	],
	['in a flat object', (value) => ({ text: 'x'.repeat(5000), value }), 'data.value'],
]

describe.each(sizes)('a value %s', (_size, within, prefix) => {
	it.each(accepted)('is taken: %s', (_what, value, json) => {
		expect(encodeJson(within(value))).toBe(JSON.stringify(within(JSON.parse(json))))
	})

	it.each(refused)('is refused with its path: %s', (_what, value, message) => {
		const error = thrownBy(() => encodeJson(within(value)))
		expect(error).toBeInstanceOf(EvInvalidMessageError)
		expect(error).toHaveProperty('message', expect.stringContaining(message.replace('data', prefix)))
		expect(error).toHaveProperty('message', expect.stringMatching(/\. (Send|Leave|Convert|Return) .*\.$/))
	})
})

describe('encodeJson', () => {
	it.each(formless)('refuses what has no JSON form: %s', (_what, value, message) => {
		const error = thrownBy(() => encodeJson(value))
		expect(error).toBeInstanceOf(EvInvalidMessageError)
		expect(error).toHaveProperty('message', expect.stringContaining(message))
	})

	it('gives undefined for undefined alone, and names the value as it is told to', () => {
		expect(encodeJson(undefined)).toBeUndefined()
		expect(() => encodeJson([Number.NaN], 'The state "a"')).toThrow('The state "a"[0] is NaN')
	})

	it('takes and judges a value as deep as JSON.stringify can', () => {
		const nested = (depth: number, end: unknown): unknown => {
			let value = end
			for (let level = 0; level < depth; level++) value = { a: value }
			return value
		}
		const fits = (depth: number): boolean => thrownBy(() => JSON.stringify(nested(depth, 1))) === undefined
		let depth = 1000
		while (fits(depth + 100)) depth += 100
		// What encodeJson itself takes of the stack.
		depth -= 100
		expect(encodeJson(nested(depth, 1))).toHaveLength(depth * 6 + 1)
		expect(() => encodeJson(nested(depth, Number.NaN))).toThrow(/^data(\.a)+ is NaN/)
	})

	it('reports a getter that throws the second time', () => {
		let reads = 0
		const value = {
			get a() {
				if (++reads > 1) throw new Error('read twice')
				return 1
			},
		}
		expect(() => encodeJson(value)).toThrow(EvInvalidMessageError)
	})
})

/** A path into a value: a key for each level, chosen by the numbers. */
function place(root: unknown, choices: readonly number[], bad: unknown): { value: unknown; path: string } {
	const [choice, ...others] = choices
	if (choice === undefined || typeof root !== 'object' || root === null) return { value: bad, path: '' }
	if (Array.isArray(root)) {
		const at = choice % (root.length + 1)
		const inner = place(root[at], others, bad)
		return { value: [...root.slice(0, at), inner.value, ...root.slice(at + 1)], path: `[${at}]${inner.path}` }
	}
	const keys = [...Object.keys(root), 'added']
	const key = keys[choice % keys.length] ?? 'added'
	const inner = place(Reflect.get(root, key), others, bad)
	const step = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
	const entries = new Map<string, unknown>(Object.entries(root)).set(key, inner.value)
	return { value: Object.fromEntries(entries), path: `${step}${inner.path}` }
}

/** The documented equalities, written once more: whether what arrives is what was sent. */
function arrives(sent: unknown, received: unknown): boolean {
	if (typeof sent === 'number') return sent === received
	if (typeof sent !== 'object' || sent === null) return sent === received
	if (sent instanceof Date) return !Number.isNaN(sent.getTime()) && sent.toISOString() === received
	if (sent instanceof Number || sent instanceof String || sent instanceof Boolean) {
		return arrives(sent.valueOf(), received)
	}
	if (typeof received !== 'object' || received === null) return false
	if (Array.isArray(sent)) {
		return Array.isArray(received) && Array.from(sent).every((item, at) => arrives(item, received[at]))
	}
	if (![null, Object.prototype].includes(Object.getPrototypeOf(sent))) return false
	const there = Object.entries(sent).filter(([, item]) => item !== undefined)
	return (
		Object.keys(received).length === there.length &&
		there.every(([key, item]) => Object.hasOwn(received, key) && arrives(item, Reflect.get(received, key)))
	)
}

describe('random values', () => {
	it('are taken if they arrive as they were sent, and refused if not', () => {
		const values = fc.anything({
			withBoxedValues: true,
			withDate: true,
			withMap: true,
			withNullPrototype: true,
			withSet: true,
			withSparseArray: true,
			withTypedArray: true,
			maxDepth: 4,
		})
		let taken = 0
		let turnedAway = 0
		fc.assert(
			fc.property(values, (value) => {
				const json = JSON.stringify(value)
				fc.pre(json !== undefined)
				const error = thrownBy(() => expect(encodeJson(value)).toBe(json))
				if (arrives(value, JSON.parse(json))) {
					taken++
					expect(error).toBeUndefined()
				} else {
					turnedAway++
					expect(error).toMatchObject({ code: 'EV_INVALID_MESSAGE' })
				}
			}),
			{ numRuns: 5000 },
		)
		expect(taken).toBeGreaterThan(1000)
		expect(turnedAway).toBeGreaterThan(1000)
	}, 60_000)

	it('are refused with the right path, wherever something is put in that JSON would change', () => {
		const losses = fc.constantFrom<unknown>(
			Number.NaN,
			Number.NEGATIVE_INFINITY,
			new Map(),
			new Set([1]),
			/a/,
			new TypeError('a'),
			new Uint8Array(1),
			new Date(Number.NaN),
			() => {},
			Symbol('a'),
		)
		fc.assert(
			fc.property(fc.jsonValue(), fc.array(fc.nat(), { maxLength: 6 }), losses, (json, choices, bad) => {
				const { value, path } = place(json, choices, bad)
				expect(encodeJson(json)).toBe(JSON.stringify(json))
				expect(() => encodeJson(value)).toThrow(`data${path} is `)
			}),
			{ numRuns: 3000 },
		)
	}, 60_000)
})

describe('a long list', () => {
	it.each([0, 63, 4_095, 4_096, 8_191, 8_192, 8_999])('is looked at in all places: %i', (at) => {
		const list: unknown[] = new Array(9_000).fill(1)
		expect(encodeJson(list)).toBe(JSON.stringify(list))
		list[at] = Number.NaN
		expect(() => encodeJson(list)).toThrow(`data[${at}]`)
	})
})

it('an object without a prototype is sent as it is, also one that names itself', () => {
	const module = Object.create(null, {
		a: { value: 1, enumerable: true },
		[Symbol.toStringTag]: { value: 'Module' },
	})
	expect(encodeJson({ module })).toBe('{"module":{"a":1}}')
})

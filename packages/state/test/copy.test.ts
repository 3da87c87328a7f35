import vm from 'node:vm'
import { describe, expect, it } from 'vitest'
import { type Copy, copyLoose, copyStrict } from '../src/copy.js'

/** Nested so deep, with the number 1 in the middle. */
function nested(depth: number, wrap: (inner: unknown) => unknown): unknown {
	let value: unknown = 1
	for (let level = 0; level < depth; level++) value = wrap(value)
	return value
}

const COPIES: readonly (readonly [string, Copy])[] = [
	['copyLoose', copyLoose],
	['copyStrict', copyStrict],
]

describe.each(COPIES)('%s', (_, copy) => {
	it('shares no array and no plain object with the value, at any depth', () => {
		const value = { list: [{ n: 1 }, [2]], inner: { deep: { n: 3 } } }
		const made = copy(value)
		expect(made).toEqual({ list: [{ n: 1 }, [2]], inner: { deep: { n: 3 } } })
		Reflect.set(value.list[0] ?? {}, 'n', 9)
		Reflect.set(value.list[1] ?? {}, 0, 9)
		value.inner.deep.n = 9
		expect(made).toEqual({ list: [{ n: 1 }, [2]], inner: { deep: { n: 3 } } })
	})

	it('copies plain objects without a prototype, and those of another realm', () => {
		const bare: Record<string, unknown> = Object.create(null)
		bare.inner = Object.assign(Object.create(null), { n: 1 })
		const foreign: unknown = vm.runInNewContext('({ inner: { n: 1 } })')
		for (const value of [bare, foreign]) {
			const made = copy(value)
			expect(made).not.toBe(value)
			expect(Reflect.get(Object(made), 'inner')).not.toBe(Reflect.get(Object(value), 'inner'))
			expect(JSON.stringify(made)).toBe('{"inner":{"n":1}}')
		}
	})

	it('keeps a key __proto__ as any other, changeable and removable', () => {
		const made: object = copy(JSON.parse('{"__proto__":{"n":1}}'))
		expect(Object.getPrototypeOf(made)).toBe(Object.prototype)
		expect(Object.getOwnPropertyDescriptor(made, '__proto__')).toEqual({
			value: { n: 1 },
			configurable: true,
			enumerable: true,
			writable: true,
		})
	})

	it('refuses what is nested deeper than 500 levels, and takes what is not', () => {
		const code = expect.objectContaining({ code: 'EV_INVALID_MESSAGE' })
		for (const wrap of [(inner: unknown) => [inner], (inner: unknown) => ({ inner })]) {
			expect(copy(nested(500, wrap))).toEqual(nested(500, wrap))
			expect(() => copy(nested(502, wrap))).toThrow(code)
		}
	})
})

describe('copyLoose', () => {
	it('copies dates', () => {
		const value = { when: new Date(5) }
		const made = copyLoose(value)
		expect(made).toEqual(value)
		expect(made.when).not.toBe(value.when)
	})

	it('keeps undefined, and shares functions and instances of classes', () => {
		class Point {
			x = 1
		}
		const value = { gone: undefined, run: () => 1, at: new Point() }
		const made = copyLoose(value)
		expect(Object.keys(made)).toEqual(['gone', 'run', 'at'])
		expect(made.run).toBe(value.run)
		expect(made.at).toBe(value.at)
	})
})

describe('copyStrict', () => {
	it('refuses what JSON would change, and says what it is', () => {
		const cases: readonly (readonly [unknown, string])[] = [
			[Number.NaN, 'NaN'],
			[Number.NEGATIVE_INFINITY, '-Infinity'],
			[undefined, 'undefined'],
			[1n, 'a bigint'],
			[Symbol('s'), 'a symbol'],
			[() => 1, 'a function'],
			[new Date(), 'an instance of Date'],
			[{ toJSON: () => 1 }, 'an instance of Object'],
			[[undefined], 'undefined'],
			[new (class {})(), 'an instance of a class'],
		]
		for (const [value, what] of cases)
			expect(() => copyStrict(value)).toThrow(` is ${what}, which JSON would change`)
	})

	it('gives what JSON gives back: no negative zero, no undefined properties', () => {
		const made = copyStrict({ zero: -0, gone: undefined, no: null, yes: true })
		expect(Object.is(made.zero, 0)).toBe(true)
		expect(Object.keys(made)).toEqual(['zero', 'no', 'yes'])
	})
})

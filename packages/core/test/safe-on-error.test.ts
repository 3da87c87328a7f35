import { until } from '@evstream/testkit'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { safeOnError } from '../src/index.js'

const strange: [what: string, error: unknown][] = [
	['undefined', undefined],
	['null', null],
	['a symbol', Symbol('a')],
	['an object without a prototype', Object.create(null)],
	['an object whose toString throws', { toString: thrower, [Symbol.toPrimitive]: thrower }],
	['an error whose toString throws', Object.assign(new Error('a'), { toString: thrower })],
	['an error whose stack throws', Object.defineProperty(new Error('a'), 'stack', { get: thrower })],
	['an error whose name is a symbol', Object.assign(new Error('a'), { name: Symbol('a') })],
	['an error whose code is a symbol', Object.assign(new Error('a'), { code: Symbol('a') })],
	['a proxy that throws', new Proxy({}, { getPrototypeOf: thrower, get: thrower })],
	['a revoked proxy', revoked()],
]

function thrower(): never {
	throw new Error('from within the value')
}

function revoked(): object {
	const { proxy, revoke } = Proxy.revocable({}, {})
	revoke()
	return proxy
}

describe('an onError', () => {
	const warnings: Error[] = []
	const uncaught: unknown[] = []
	const note = (warning: Error): void => void warnings.push(warning)
	const fail = (error: unknown): void => void uncaught.push(error)

	beforeEach(() => {
		warnings.length = 0
		uncaught.length = 0
		process.on('warning', note)
		process.on('unhandledRejection', fail)
		process.on('uncaughtExceptionMonitor', fail)
	})

	afterEach(() => {
		process.off('warning', note)
		process.off('unhandledRejection', fail)
		process.off('uncaughtExceptionMonitor', fail)
		vi.restoreAllMocks()
	})

	it('is by default a process warning: the error itself, or what was thrown', async () => {
		const error = new TypeError('a')
		safeOnError()(error)
		safeOnError()('text')
		safeOnError()({ status: 500 })
		await until(() => warnings.length === 3)
		expect(warnings[0]).toBe(error)
		expect(warnings.slice(1).map(({ message }) => message)).toEqual(['text', '{ status: 500 }'])
	})

	it.each(strange)('by default survives %s', async (_what, error) => {
		expect(safeOnError()(error)).toBeUndefined()
		await until(() => warnings.length === 1)
		safeOnError()('after')
		await until(() => warnings.length === 2)
		expect(uncaught).toEqual([])
	})

	it('survives an emitWarning that throws', () => {
		vi.spyOn(process, 'emitWarning').mockImplementation(thrower)
		expect(safeOnError()(new Error('a'))).toBeUndefined()
	})

	it.each(strange)('that throws %s becomes a warning', async (_what, error) => {
		const told: unknown[] = []
		const onError = safeOnError((reason) => {
			told.push(reason)
			throw error
		})
		expect(onError('a')).toBeUndefined()
		await until(() => warnings.length === 1)
		expect(told).toEqual(['a'])
		expect(uncaught).toEqual([])
	})

	it('that rejects becomes a warning, never an unhandled rejection', async () => {
		const error = new Error('rejected')
		safeOnError(async () => {
			throw error
		})('a')
		await until(() => warnings.length === 1)
		expect(warnings).toEqual([error])
		expect(uncaught).toEqual([])
	})

	it('that returns a foreign promise that rejects, or throws in then, becomes a warning', async () => {
		const rejects = (_resolve: unknown, reject: (error: unknown) => void): void => reject('no')
		safeOnError(() => Object.defineProperty({}, 'then', { value: rejects }))('a')
		safeOnError(() => Object.defineProperty({}, 'then', { get: thrower }))('a')
		await until(() => warnings.length === 2)
		expect(warnings.map(({ message }) => message).sort()).toEqual(['from within the value', 'no'])
		expect(uncaught).toEqual([])
	})
})

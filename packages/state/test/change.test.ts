import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Change, refuseAsync, refusePromise, rejected } from '../src/change.js'

const unhandled: unknown[] = []
const onUnhandled = (reason: unknown): void => void unhandled.push(reason)
beforeEach(() => void process.on('unhandledRejection', onUnhandled))
afterEach(() => void process.off('unhandledRejection', onUnhandled))

/** Node tells of an unhandled rejection once the microtasks are done. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('a rejection that nobody looks at', () => {
	it('is not unhandled: of a change, of a refusal, and of a promise that a change gave', async () => {
		const change = new Change((value: number) => value, 0)
		change.reject(new Error('deadline'))
		rejected(new Error('refused'))
		expect(() => refusePromise(Promise.reject(new Error('late')))).toThrow(TypeError)
		await turn()
		expect(unhandled).toEqual([])
		await expect(change.promise).rejects.toThrow('deadline')
		expect(change.settled).toBe(true)
	})
})

describe('a change', () => {
	it('is settled from the moment that its outcome is known', async () => {
		const [done, failed] = [new Change((value: number) => value, 0), new Change((value: number) => value, 0)]
		expect([done.settled, failed.settled]).toEqual([false, false])
		done.resolve(1)
		failed.reject(new Error('no'))
		expect([done.settled, failed.settled]).toEqual([true, true])
		expect(await done.promise).toBe(1)
	})
})

describe('what a function of set may be', () => {
	it('is a synchronous function', () => {
		expect(() => refuseAsync(5)).toThrow('set takes a function, not number.')
		expect(() => refuseAsync(async () => 1)).toThrow('must be synchronous')
		expect(() => refuseAsync(() => 1)).not.toThrow()
	})

	it('that returns no promise, nor anything else with a then', () => {
		// biome-ignore lint/suspicious/noThenProperty: that is what it is about
		const thenable = { then: () => {} }
		const callable = Object.assign(() => {}, thenable)
		for (const result of [Promise.resolve(1), thenable, callable]) {
			expect(() => refusePromise(result)).toThrow('must be synchronous')
		}
		// biome-ignore lint/suspicious/noThenProperty: a property of that name is no promise
		for (const result of [null, undefined, 5, 'then', {}, { then: 1 }, () => {}]) {
			expect(() => refusePromise(result)).not.toThrow()
		}
	})
})

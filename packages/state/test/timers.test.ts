import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'
import { Recurring } from '../src/recurring.js'
import { Worker } from '../src/worker.js'
import { loaded } from './stepped-state.js'

let timers: MockInstance<typeof setTimeout>
beforeEach(() => {
	timers = vi.spyOn(globalThis, 'setTimeout')
})
afterEach(() => timers.mockRestore())

/** Whether a timer that was set since keeps the process alive. */
function keepsAlive(): boolean {
	expect(timers.mock.results).not.toEqual([])
	return timers.mock.results.some(({ value }) => Reflect.get(Object(value), 'hasRef')?.call(value) !== false)
}

describe('no timer keeps the process alive', () => {
	it('of a recurring check', () => {
		const recurring = new Recurring(1_000, () => {})
		expect(keepsAlive()).toBe(false)
		recurring.stop()
	})

	it('of a worker that waits to try again', async () => {
		const worker = new Worker(async () => {
			throw new Error('away')
		}, vi.fn())
		worker.kick()
		await new Promise((resolve) => setImmediate(resolve))
		expect(keepsAlive()).toBe(false)
		worker.stop()
	})

	it('of a change that waits for the store', async () => {
		const { state } = await loaded(0)
		timers.mockClear()
		state.set((value) => value + 1).catch(() => {})
		expect(keepsAlive()).toBe(false)
	})
})

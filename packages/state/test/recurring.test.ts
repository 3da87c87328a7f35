import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { Recurring } from '../src/recurring.js'

beforeEach(() => {
	vi.useFakeTimers()
	return () => void vi.useRealTimers()
})

describe('Recurring', () => {
	it('calls again and again, each time within 20 % of its interval, until it is stopped', () => {
		const times: number[] = []
		let last = performance.now()
		const recurring = new Recurring(1_000, () => {
			times.push(performance.now() - last)
			last = performance.now()
		})
		vi.advanceTimersByTime(100_000)
		expect(times.length).toBeGreaterThan(82)
		for (const time of times) {
			expect(time).toBeGreaterThanOrEqual(799)
			expect(time).toBeLessThanOrEqual(1_201)
		}
		// Not all at the same distance, as instances that started together would call together.
		expect(new Set(times.map(Math.round)).size).toBeGreaterThan(10)
		const calls = times.length
		recurring.stop()
		expect(vi.getTimerCount()).toBe(0)
		vi.advanceTimersByTime(10_000)
		expect(times).toHaveLength(calls)
	})

	it('may be stopped from within its call, and goes on after a call that throws', () => {
		const recurring = new Recurring(100, () => recurring.stop())
		vi.advanceTimersByTime(1_000)
		expect(vi.getTimerCount()).toBe(0)
		let calls = 0
		const throwing = new Recurring(100, () => {
			if (++calls === 1) throw new Error('no')
		})
		onTestFinished(() => throwing.stop())
		expect(() => vi.advanceTimersByTime(150)).toThrow('no')
		vi.advanceTimersByTime(150)
		expect(calls).toBeGreaterThanOrEqual(2)
	})

	it('never calls if told not to', () => {
		const call = vi.fn()
		new Recurring(false, call).stop()
		expect(vi.getTimerCount()).toBe(0)
		vi.advanceTimersByTime(1_000_000)
		expect(call).not.toHaveBeenCalled()
	})
})

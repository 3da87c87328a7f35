import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type EvCloseReason, EvStreamManager } from '../src/index.js'

beforeEach(() => {
	vi.useFakeTimers()
})

afterEach(() => {
	vi.useRealTimers()
})

describe('maxAge', () => {
	it('ends streams that came together at different times, all within its last fifth', async () => {
		const manager = new EvStreamManager()
		const start = performance.now()
		const ages: number[] = []
		const reasons = new Set<EvCloseReason>()
		for (let n = 0; n < 200; n++) {
			const { stream, response } = manager.createResponse(new Request('http://localhost/'), {
				maxAge: 10_000,
			})
			// Somebody reads it: a response that nobody reads is still there when its stream has ended.
			void response.text()
			stream.onClose((_channels, reason) => {
				ages.push(performance.now() - start)
				reasons.add(reason)
			})
		}
		await vi.advanceTimersByTimeAsync(7_990)
		expect(ages).toEqual([])
		await vi.advanceTimersByTimeAsync(2_020)
		expect(ages).toHaveLength(200)
		expect([...reasons]).toEqual(['max-age'])
		// No tenth of that time has a storm in it, and none is left out.
		for (let from = 8_000; from < 10_000; from += 200) {
			const ended = ages.filter((age) => age >= from && age < from + 200).length
			expect(ended).toBeGreaterThan(0)
			expect(ended).toBeLessThan(60)
		}
		expect(manager.stats().connections).toBe(0)
		expect(vi.getTimerCount()).toBe(0)
	})
})

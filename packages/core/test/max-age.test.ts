import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type EvCloseReason, EvStreamManager } from '../src/index.js'
import { connectionSettings } from '../src/options.js'
import { Stream } from '../src/stream.js'
import { Timers } from '../src/timers.js'
import { WebTransport } from '../src/web-transport.js'

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

describe('a stream that is over before it begins', () => {
	it.each([
		['its client has left', new Request('http://a/', { signal: AbortSignal.abort() })],
		['it has no body', new Request('http://a/', { method: 'HEAD' })],
	])('arms no deadline: %s', (_why, request) => {
		const timers = new Timers()
		const stream = new Stream({
			settings: connectionSettings({}),
			timers,
			authenticator: undefined,
			connect: (owner) => new WebTransport(request, owner),
		})
		stream.start(60_000)
		expect(stream.closed).toBe(true)
		expect(timers.size).toBe(0)
	})
})

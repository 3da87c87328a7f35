import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LogExpiry } from '../src/log-expiry.js'
import { MemoryLog } from '../src/memory-log.js'
import { Timers } from '../src/timers.js'

const receiver = { deliver() {}, direct() {}, reset() {}, error() {} }

function open(ttl: number) {
	const log = new MemoryLog(receiver, {
		instance: '',
		resumable: true,
		retention: () => ({ size: 100_000, ttl }),
	})
	const timers = new Timers()
	return { log, timers, expiry: new LogExpiry(log, timers) }
}

describe('what has expired in memory', () => {
	beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
	afterEach(() => void vi.useRealTimers())

	it('is looked for every five seconds while messages come, until nothing is known of any channel', () => {
		const { log, timers, expiry } = open(1_000)
		const expire = vi.spyOn(log, 'expire')
		log.append('a', 'x')
		for (let second = 0; second < 4; second++) {
			expiry.start()
			vi.advanceTimersByTime(1_000)
		}
		expect(expire).not.toHaveBeenCalled()
		vi.advanceTimersByTime(1_000)
		expect(expire).toHaveBeenCalledTimes(1)
		expect(log).toMatchObject({ bytes: 0, channels: 1 })
		// Silent for its ttl and two minutes more, the channel is forgotten, and nothing is looked for.
		vi.advanceTimersByTime(125_000)
		expect(log.channels).toBe(0)
		expect(timers.size).toBe(0)
		expiry.start()
		expect(timers.size).toBe(1)
		expiry.stop()
		expect(timers.size).toBe(0)
	})

	it('is dropped a part at a time', () => {
		const { log } = open(1_000)
		for (let n = 0; n < 25_000; n++) log.append(`channel ${n % 20}`, 'x')
		const { bytes } = log
		vi.advanceTimersByTime(1_000)
		log.expire()
		// 10,000 of them, and what is left of the last look.
		expect(log.bytes).toBeLessThan(bytes)
		expect(log.bytes).toBeGreaterThanOrEqual(bytes - 10_500 * 201)
		log.expire()
		log.expire()
		expect(log.bytes).toBe(0)
	})

	it('leaves nothing behind when the log is closed', () => {
		const { log } = open(1_000)
		for (let n = 0; n < 10; n++) log.append(`channel ${n}`, 'x')
		log.close()
		expect(log).toMatchObject({ bytes: 0, channels: 0 })
		log.append('a', 'x')
		vi.advanceTimersByTime(200_000)
		log.expire()
		expect(log).toMatchObject({ bytes: 0, channels: 0 })
	})
})

import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Worker } from '../src/worker.js'

describe('Worker', () => {
	it('does not miss a kick that comes right after it found nothing to do', async () => {
		let todo = 0
		let done = 0
		const late = (): void => {
			todo = 1
			worker.kick()
		}
		const worker = new Worker(async () => {
			if (todo === 0) {
				if (done === 0) queueMicrotask(late)
				return false
			}
			todo = 0
			done++
			return true
		}, vi.fn())
		worker.kick()
		await until(() => done === 1)
		worker.stop()
	})

	it('tries again what failed, reports a row of failures once, and at once when it is woken', async () => {
		let fails = 3
		let done = 0
		const onError = vi.fn()
		const worker = new Worker(async () => {
			if (done === 2) return false
			if (fails-- > 0) throw new Error('no')
			fails = done === 0 ? 1 : 0
			done++
			return true
		}, onError)
		worker.kick()
		await until(() => {
			worker.wake()
			return done === 2
		})
		expect(onError).toHaveBeenCalledTimes(2)
		worker.stop()
	})

	it('stops for good when it is stopped or what it asks is closed', async () => {
		const step = vi.fn(async () => {
			throw Object.assign(new Error('closed'), { code: 'EV_CLOSED' })
		})
		const worker = new Worker(step, vi.fn())
		worker.kick()
		await until(() => step.mock.calls.length === 1)
		await new Promise((resolve) => setImmediate(resolve))
		worker.wake()
		await new Promise((resolve) => setImmediate(resolve))
		expect(step).toHaveBeenCalledTimes(1)
	})

	it('waits longer after each failure in a row, at most a second, and after a success as at first', async () => {
		vi.useFakeTimers()
		onTestFinished(() => void vi.useRealTimers())
		let fails = true
		const times: number[] = []
		const onError = vi.fn()
		const worker = new Worker(async () => {
			times.push(performance.now())
			if (fails) throw new Error('no')
			return false
		}, onError)
		onTestFinished(() => worker.stop())
		const begin = (): Promise<unknown> => {
			times.length = 0
			worker.kick()
			return vi.advanceTimersByTimeAsync(20_000)
		}
		await begin()
		const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0))
		for (const [index, pause] of pauses.entries()) {
			const longest = Math.min(1_000, 50 * 2 ** index)
			expect(pause).toBeGreaterThanOrEqual(longest / 2)
			expect(pause).toBeLessThanOrEqual(longest + 1)
		}
		expect(pauses.length).toBeGreaterThan(20)
		expect(onError).toHaveBeenCalledTimes(1)
		fails = false
		await vi.advanceTimersByTimeAsync(1_000)
		fails = true
		times.length = 0
		worker.kick()
		await vi.advanceTimersByTimeAsync(60)
		expect(times.length).toBeGreaterThanOrEqual(2)
		expect(onError).toHaveBeenCalledTimes(2)
	})

	it('does one step at a time, however often it is kicked and woken', async () => {
		let running = 0
		let done = 0
		const worker = new Worker(async () => {
			expect(++running).toBe(1)
			await new Promise((resolve) => setImmediate(resolve))
			running--
			return ++done < 5
		}, vi.fn())
		for (let n = 0; n < 3; n++) worker.kick()
		await until(() => {
			worker.wake()
			return done >= 5
		})
		worker.stop()
	})

	it('begins once the tick is over, and again whenever it is kicked later', async () => {
		const step = vi.fn(async () => false)
		const worker = new Worker(step, vi.fn())
		worker.kick()
		expect(step).not.toHaveBeenCalled()
		for (const calls of [1, 2, 3]) {
			await new Promise((resolve) => setImmediate(resolve))
			expect(step).toHaveBeenCalledTimes(calls)
			worker.kick()
		}
		worker.stop()
	})

	it('that is stopped in a pause or during a step ends, reports nothing, and has no timer left', async () => {
		vi.useFakeTimers()
		onTestFinished(() => void vi.useRealTimers())
		const onError = vi.fn()
		const step = vi.fn(async (): Promise<boolean> => {
			throw new Error('no')
		})
		const worker = new Worker(step, onError)
		worker.kick()
		await vi.advanceTimersByTimeAsync(0)
		expect(vi.getTimerCount()).toBe(1)
		worker.stop()
		expect(vi.getTimerCount()).toBe(0)
		worker.wake()
		await vi.advanceTimersByTimeAsync(5_000)
		expect(step).toHaveBeenCalledTimes(1)
		expect(onError).toHaveBeenCalledTimes(1)
		let fail = (): void => {}
		const held = new Worker(
			() =>
				new Promise((_, reject) => {
					fail = () => reject(new Error('late'))
				}),
			onError,
		)
		held.kick()
		await vi.advanceTimersByTimeAsync(0)
		held.stop()
		fail()
		await vi.advanceTimersByTimeAsync(0)
		expect(onError).toHaveBeenCalledTimes(1)
		expect(vi.getTimerCount()).toBe(0)
	})

	it('that was stopped before it began never begins', async () => {
		const step = vi.fn(async () => false)
		const worker = new Worker(step, vi.fn())
		worker.kick()
		worker.stop()
		worker.kick()
		await new Promise((resolve) => setImmediate(resolve))
		expect(step).not.toHaveBeenCalled()
	})

	it('reports nothing of a closed store', async () => {
		const onError = vi.fn()
		const worker = new Worker(async () => {
			throw Object.assign(new Error('closed'), { code: 'EV_CLOSED' })
		}, onError)
		worker.kick()
		await new Promise((resolve) => setImmediate(resolve))
		expect(onError).not.toHaveBeenCalled()
	})
})

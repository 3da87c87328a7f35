import { until } from '@evstream/testkit'
import { describe, expect, it, vi } from 'vitest'
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
})

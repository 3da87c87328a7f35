import { MemoryStateStore } from '@evstream/core'
import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { EvState, EvStateManager } from '../src/index.js'
import { outageOf, shareOutage } from '../src/outage.js'
import { FakeManager } from './support.js'
import { UnreliableStore } from './unreliable-store.js'

describe('an outage of the store', () => {
	it('is told once for all states of a manager, and the next one again', async () => {
		const network = new UnreliableStore(new MemoryStateStore())
		const onError = vi.fn()
		const states = new EvStateManager<Record<string, number>>({
			manager: new FakeManager(),
			adapter: { states: network },
			onError,
			checkInterval: false,
		})
		onTestFinished(() => states.close())
		const all = Array.from({ length: 200 }, (_, n) => states.createState(`s${n}`, 0))
		await Promise.all(all.map(({ ready }) => ready))
		for (let outage = 0; outage < 2; outage++) {
			onError.mockClear()
			network.away = true
			const changes = all.map((state) => state.set((value) => value + 1))
			const begun = performance.now()
			await until(() => performance.now() - begun > 150)
			// Some were on their way, some were not sent: each of the two is told once.
			const messages = onError.mock.calls.map(([error]) => String(error))
			expect(messages.length).toBeGreaterThan(0)
			expect(messages).toEqual([...new Set(messages)])
			expect(messages.length).toBeLessThanOrEqual(2)
			network.reconnected()
			await Promise.all(changes)
		}
	})

	it('is told to each of those that listen to different states of one store', async () => {
		const network = new UnreliableStore(new MemoryStateStore())
		network.away = true
		const told = [vi.fn(), vi.fn()]
		for (const [n, onError] of told.entries()) {
			for (const half of ['a', 'b']) {
				const state = new EvState({
					channel: `${half}${n}`,
					initialValue: 0,
					manager: new FakeManager(),
					adapter: { states: network },
					onError,
				})
				onTestFinished(() => state.close())
			}
		}
		await until(() => told.every((onError) => onError.mock.calls.length > 0))
		const begun = performance.now()
		await until(() => performance.now() - begun > 100)
		for (const onError of told) expect(onError).toHaveBeenCalledTimes(1)
	})

	it('is told once whatever state, time or key the text names, and each other kind once too', () => {
		const outage = outageOf(new MemoryStateStore())
		const report = vi.fn()
		const texts = [
			'The store did not take a change of the state "a" within 100 ms.',
			'The store did not take a change of the state "b"c" within 99.5 ms.',
			'Unexpected reply for key {evstream}:state:a: it is no state.',
			'Unexpected reply for key {evstream}:state:b: it is no state.',
		]
		for (const text of texts) outage.report(new Error(text), 'receiver', report)
		outage.report(Object.assign(new Error(texts[0]), { code: 'EV_UNAVAILABLE' }), 'receiver', report)
		expect(report).toHaveBeenCalledTimes(3)
	})

	it('is not over for those that still fail when one of them is answered', () => {
		vi.useFakeTimers()
		onTestFinished(() => void vi.useRealTimers())
		const store = new MemoryStateStore()
		const view = new MemoryStateStore()
		shareOutage(view, store)
		const [one, two] = [outageOf(store), outageOf(view)]
		const report = vi.fn()
		const fail = (outage: typeof one): void => outage.report(new Error('away'), 'receiver', report)
		fail(one)
		fail(two)
		one.over()
		fail(two)
		fail(one)
		expect(report).toHaveBeenCalledTimes(1)
		one.over()
		two.over()
		fail(one)
		expect(report).toHaveBeenCalledTimes(2)
		// One that failed last and was closed does not prolong the outage for ever.
		vi.advanceTimersByTime(60_000)
		two.over()
		fail(two)
		expect(report).toHaveBeenCalledTimes(3)
	})
})

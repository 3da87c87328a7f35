import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { seqs, setUp, turn } from './support/inbox-setup.js'

describe('Inbox, when a repair fails or is overtaken', () => {
	it('tries a failed repair again', async () => {
		const { inbox, open, append, delivered, errors, reads, at } = setUp()
		open('a')
		at.once = false
		inbox.lost()
		append('a')
		inbox.restored()
		await until(() => reads.length === 1)
		at.once = true
		reads[0]?.fail(new Error('away'))
		await until(() => delivered.length === 1)
		expect(errors).toEqual([new Error('away')])
	})

	it('tries again until the log answers, and once it was closed no more', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
		onTestFinished(() => void vi.useRealTimers())
		const { inbox, open, append, errors, reads, at } = setUp()
		open('a')
		at.once = false
		append('a')
		inbox.receive([append('a')])
		for (const attempt of [0, 1]) {
			reads[attempt]?.fail(new Error('away'))
			await turn()
			expect(errors).toHaveLength(attempt + 1)
			vi.advanceTimersByTime(1_000)
			expect(reads).toHaveLength(attempt + 2)
		}
		inbox.close()
		reads[2]?.fail(new Error('closed'))
		await turn()
		expect(errors).toHaveLength(2)
		expect(vi.getTimerCount()).toBe(0)
	})

	it('does not try again on its own what is repaired meanwhile, or lost once more', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
		onTestFinished(() => void vi.useRealTimers())
		const { inbox, open, append, delivered, reads, at } = setUp()
		open('a')
		at.once = false
		append('a')
		inbox.receive([append('a')])
		reads[0]?.fail(new Error('away'))
		await turn()
		expect(vi.getTimerCount()).toBe(1)
		inbox.lost()
		expect(vi.getTimerCount()).toBe(0)
		inbox.restored()
		reads[1]?.fail(new Error('away'))
		await turn()
		expect(vi.getTimerCount()).toBe(1)
		at.once = true
		inbox.restored()
		expect(vi.getTimerCount()).toBe(0)
		await turn()
		expect(seqs(delivered)).toEqual([1, 2])
		expect(reads).toHaveLength(3)
	})

	it('leaves a repair to the newer one, whether the older one succeeds or fails late', async () => {
		const { inbox, open, append, delivered, errors, reads, at } = setUp()
		open('a')
		at.once = false
		append('a')
		inbox.receive([append('a')])
		inbox.lost()
		inbox.restored()
		reads[0]?.fail(new Error('late'))
		await turn()
		expect(errors).toEqual([])
		inbox.lost()
		inbox.restored()
		reads[1]?.answer()
		await turn()
		expect(delivered).toEqual([])
		reads[2]?.answer()
		await until(() => delivered.length === 2)
		expect(seqs(delivered)).toEqual([1, 2])
	})

	it('that was closed takes and reads nothing', async () => {
		const { inbox, open, append, delivered, resets, errors, reads, at } = setUp()
		open('a')
		at.once = false
		append('a')
		inbox.receive([append('a')])
		inbox.close()
		reads[0]?.answer()
		inbox.lost()
		inbox.restored()
		inbox.receive([append('a')])
		await turn()
		expect(reads).toHaveLength(1)
		expect([...delivered, ...resets, ...errors]).toEqual([])
	})

	it('has no retry left when it is closed, and none keeps the process alive', async () => {
		const timers = vi.spyOn(globalThis, 'setTimeout')
		const cleared = vi.spyOn(globalThis, 'clearTimeout')
		onTestFinished(() => {
			timers.mockRestore()
			cleared.mockRestore()
		})
		const { inbox, open, append, errors, reads, at } = setUp()
		open('a')
		at.once = false
		append('a')
		inbox.receive([append('a')])
		reads[0]?.fail(new Error('away'))
		await turn()
		expect(errors).toHaveLength(1)
		const { value: timer } = timers.mock.results.at(-1) ?? {}
		expect(timer.hasRef()).toBe(false)
		cleared.mockClear()
		inbox.close()
		expect(cleared).toHaveBeenCalledWith(timer)
	})

	it('stays lost when it was lost by what it delivered', async () => {
		const { inbox, open, append, delivered, at } = setUp()
		open('a')
		append('a')
		at.delivered = () => inbox.lost()
		inbox.receive([append('a')])
		await until(() => delivered.length === 2)
		await turn()
		delete at.delivered
		inbox.receive([append('a')])
		expect(delivered).toHaveLength(2)
		inbox.restored()
		await until(() => delivered.length === 3)
	})
})

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { until } from '@evstream/testkit'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Deadline, now, Timers } from '../src/timers.js'

describe('deadlines', () => {
	beforeEach(() => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
	})
	afterEach(() => {
		vi.useRealTimers()
	})

	/** A deadline that writes its name down, and is due again as `again` says. */
	function named(log: unknown[], name: unknown, again?: (time: number) => number | undefined): Deadline {
		return new Deadline((time) => {
			log.push(name)
			return again?.(time)
		})
	}

	it('are called in their order, not in that of their adding', () => {
		const timers = new Timers()
		const log: unknown[] = []
		for (const delay of [30, 10, 20, 50, 40]) timers.add(named(log, delay), now() + delay)
		vi.advanceTimersByTime(25)
		expect(log).toEqual([10, 20])
		vi.advanceTimersByTime(25)
		expect(log).toEqual([10, 20, 30, 40, 50])
		expect(timers.size).toBe(0)
		expect(vi.getTimerCount()).toBe(0)
	})

	it('are never called once they are removed', () => {
		const timers = new Timers()
		const log: unknown[] = []
		const [a, b] = [named(log, 'a'), named(log, 'b')]
		timers.add(a, now() + 10)
		timers.add(b, now() + 20)
		timers.remove(a)
		timers.remove(a)
		vi.advanceTimersByTime(30)
		timers.remove(b)
		expect(log).toEqual(['b'])
	})

	it('share one timer, and none when nothing waits', () => {
		const timers = new Timers()
		const all = Array.from({ length: 100 }, (_, index) => named([], index))
		for (const [index, timed] of all.entries()) timers.add(timed, now() + 1000 - index)
		expect(vi.getTimerCount()).toBe(1)
		for (const timed of all) timers.remove(timed)
		expect(vi.getTimerCount()).toBe(0)
	})

	it('that are added again replace the earlier arrangement', () => {
		const timers = new Timers()
		const log: unknown[] = []
		const timed = named(log, 'a')
		timers.add(timed, now() + 10)
		timers.add(timed, now() + 30)
		expect(timers.size).toBe(1)
		vi.advanceTimersByTime(20)
		expect(log).toEqual([])
		vi.advanceTimersByTime(20)
		expect(log).toEqual(['a'])
	})

	it('come again when they say so, but not in the same turn', () => {
		const timers = new Timers()
		const log: unknown[] = []
		let left = 3
		timers.add(
			named(log, 'a', (time) => (--left > 0 ? time : undefined)),
			now() + 10,
		)
		vi.advanceTimersByTime(10)
		expect(log).toEqual(['a'])
		vi.advanceTimersByTime(10)
		expect(log).toEqual(['a', 'a', 'a'])
		expect(timers.size).toBe(0)
	})

	it('may add and remove themselves and others while they are called', () => {
		const timers = new Timers()
		const log: unknown[] = []
		const other = named(log, 'other')
		const removed = named(log, 'removed')
		const self: Deadline = named(log, 'self', (time) => {
			timers.remove(removed)
			timers.add(other, time + 5)
			timers.add(self, time + 100)
			// The arrangement made by hand stays.
			return time + 1
		})
		timers.add(self, now() + 10)
		timers.add(removed, now() + 10)
		vi.advanceTimersByTime(50)
		expect(log).toEqual(['self', 'other'])
		expect(self.due).toBe(now() + 60)
		timers.remove(self)
		expect(vi.getTimerCount()).toBe(0)
	})

	it('far away are waited for in steps a timer can do', () => {
		const timers = new Timers()
		const log: unknown[] = []
		const timed = named(log, 'a')
		timers.add(timed, now() + 2 ** 32)
		vi.advanceTimersByTime(2 ** 31)
		expect(log).toEqual([])
		vi.advanceTimersByTime(2 ** 31 + 10)
		expect(log).toEqual(['a'])
	})

	it('behave like a sorted list, whatever is added, removed and waited for', () => {
		const step = fc.oneof(
			fc.record({ do: fc.constant('add' as const), who: fc.nat(15), ms: fc.nat(60) }),
			fc.record({ do: fc.constant('remove' as const), who: fc.nat(15), ms: fc.constant(0) }),
			fc.record({ do: fc.constant('wait' as const), who: fc.constant(0), ms: fc.nat(40) }),
		)
		fc.assert(
			fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
				const timers = new Timers()
				const model = new Map<number, number>()
				const called: { who: number; due: number }[] = []
				const all = Array.from({ length: 16 }, (_, who) => {
					const timed: Deadline = new Deadline(() => {
						called.push({ who, due: timed.due })
						return undefined
					})
					return timed
				})
				for (const { do: what, who, ms } of steps) {
					const timed = all[who]
					if (timed === undefined) continue
					if (what === 'add') {
						timers.add(timed, now() + ms)
						model.set(who, now() + ms)
					} else if (what === 'remove') {
						timers.remove(timed)
						model.delete(who)
					} else {
						// A timer needs one ms at least; that one is always given.
						vi.advanceTimersByTime(ms + 1)
						const due = [...model].filter(([, at]) => at < now())
						for (const [name] of due) model.delete(name)
						const exact = called.filter(({ due: at }) => at === now())
						for (const { who: name } of exact) model.delete(name)
						const expected = due.map(([name, at]) => ({ who: name, due: at }))
						const byName = (a: { who: number }, b: { who: number }) => a.who - b.who
						expect(called.map(({ due: at }) => at)).toEqual(
							called.map(({ due: at }) => at).toSorted((a, b) => a - b),
						)
						expect(called.filter(({ due: at }) => at < now()).toSorted(byName)).toEqual(
							expected.toSorted(byName),
						)
						called.length = 0
					}
					expect(timers.size).toBe(model.size)
					expect(vi.getTimerCount()).toBe(model.size === 0 ? 0 : 1)
				}
				for (const timed of all) timers.remove(timed)
			}),
			{ numRuns: 2_000 },
		)
	})
})

describe('the timer', () => {
	it('gives the event loop a turn between slices of what is due at once', async () => {
		const timers = new Timers()
		let called = 0
		const seen: number[] = []
		const due = now()
		for (let n = 0; n < 1_000; n++) {
			timers.add(
				new Deadline(() => {
					if (called++ === 0) setImmediate(() => seen.push(called))
					return undefined
				}),
				due,
			)
		}
		await until(() => called === 1_000)
		expect(seen[0]).toBeGreaterThan(0)
		expect(seen[0]).toBeLessThan(1_000)
	})

	it('does not keep a process alive', async () => {
		const source = new URL('../src/timers.ts', import.meta.url).href
		const script = `
			import { Deadline, now, Timers } from '${source}'
			new Timers().add(new Deadline(() => { console.log('called') }), now() + 3_600_000)
			console.log('added')
		`
		const { stdout } = await promisify(execFile)(
			process.execPath,
			['--import', 'tsx', '--input-type=module', '--eval', script],
			{ timeout: 15_000, cwd: new URL('../../..', import.meta.url) },
		)
		expect(stdout).toBe('added\n')
	})
})

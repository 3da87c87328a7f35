import { until } from '@evstream/testkit'
import { describe, expect, it, vi } from 'vitest'
import { loaded, rival, turn } from './stepped-state.js'

const options = (args: readonly unknown[]): { within?: number; turn?: number; remember?: number } =>
	Object(args[4])

describe('a flight that loses', () => {
	it('takes the next turn, for as long as the store takes to answer and a little more', async () => {
		const { state, store } = await loaded(0, { deadline: 7_000 })
		const done = state.set((value) => value + 1)
		const first = await store.next('commit')
		expect(options(first.args).turn).toBe(20)
		expect(options(first.args).remember).toBe(14_000)
		const begun = performance.now()
		await until(() => performance.now() - begun > 40)
		rival(store, 10)
		first.answer()
		const second = await store.next('commit')
		expect(options(second.args).turn).toBeGreaterThan(20 + 2 * 40 - 5)
		// Another instance is quicker, but it is not its turn.
		const now = store.memory.read('s')
		if (!now) throw new Error('no state')
		expect(store.memory.commit('s', now, '11', { writer: 'quick', number: 1 })).toMatchObject({
			committed: false,
			wait: expect.any(Number),
		})
		second.answer()
		expect(await done).toBe(11)
	})

	it('whose turn it is not waits for the commit of the other one, and goes on from it', async () => {
		const { state, store } = await loaded(0)
		const base = store.memory.read('s')
		if (!base) throw new Error('no state')
		rival(store, 10)
		store.tell(store.memory.read('s') ?? base)
		// It lost, and has the turn.
		store.memory.commit('s', base, '20', { writer: 'slow', number: 1 }, { turn: 1_000 })
		const done = state.set((value) => value + 1)
		const commit = await store.next('commit')
		const more = state.set((value) => value + 1)
		commit.answer()
		await turn()
		expect(store.asked).toEqual([])
		const now = store.memory.read('s') ?? base
		const { state: slow } = store.memory.commit('s', now, '20', { writer: 'slow', number: 2 })
		if (slow) store.tell(slow)
		const again = await store.next('commit')
		expect(again.args[2]).toBe('22')
		again.answer()
		expect(await Promise.all([done, more])).toEqual([21, 22])
	})

	it('does not wait longer than the turn lasts, and leaves no timer when it is closed', async () => {
		const { state, store } = await loaded(0)
		const base = store.memory.read('s')
		if (!base) throw new Error('no state')
		const wrong = { ...base, stamp: 'other' }
		store.memory.commit('s', wrong, '20', { writer: 'gone', number: 1 }, { turn: 40 })
		const done = state.set((value) => value + 1)
		;(await store.next('commit')).answer()
		;(await store.next('commit')).answer()
		expect(await done).toBe(1)
		store.memory.commit('s', wrong, '20', { writer: 'gone', number: 2 }, { turn: 1_000 })
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
		try {
			const late = state.set((value) => value + 1)
			late.catch(() => {})
			await turn()
			for (const { answer } of store.asked.splice(0)) answer()
			await turn()
			state.close()
			expect(vi.getTimerCount()).toBe(0)
			await expect(late).rejects.toMatchObject({ code: 'EV_CLOSED' })
		} finally {
			vi.useRealTimers()
		}
	})
})

describe('a commit without an answer', () => {
	it('is asked for again under the same id when it is the turn of another instance', async () => {
		const { state, store } = await loaded(0)
		const base = store.memory.read('s')
		if (!base) throw new Error('no state')
		store.memory.commit(
			's',
			{ ...base, stamp: 'other' },
			'20',
			{ writer: 'gone', number: 1 },
			{ turn: 1_000 },
		)
		const done = state.set((value) => value + 1)
		const first = await store.next('commit')
		first.fail()
		const second = await store.next('commit')
		second.answer()
		const third = await store.next('commit')
		expect([second.args[3], third.args[3]]).toEqual([first.args[3], first.args[3]])
		// The first copy comes late.
		third.lose()
		;(await store.next('commit')).answer()
		expect(await done).toBe(1)
		expect(store.memory.read('s')).toMatchObject({ version: 2, value: '1' })
	})
})

describe('the deadline of a flight', () => {
	it('is that of its first change that still waits', async () => {
		const { state, store } = await loaded(0, { deadline: 300 })
		const first = state.set((value) => value + 1)
		const refused = expect(first).rejects.toMatchObject({
			code: 'EV_CONFLICT',
			message: expect.stringContaining('may still take effect'),
		})
		const begun = performance.now()
		await until(() => performance.now() - begun > 150)
		// The commit is still to be answered; both changes fly together after the conflict.
		const commit = await store.next('commit')
		const second = state.set((value) => value + 10)
		rival(store, 100)
		commit.answer()
		const both = await store.next('commit')
		expect(both.args[2]).toBe('111')
		await refused
		both.fail()
		const again = await store.next('commit')
		expect(options(again.args).within).toBeGreaterThan(20)
		again.answer()
		expect(await second).toBe(111)
	})
})

describe('many changes of a large value', () => {
	it('are folded in slices, so that the event loop is never held, with the same results', async () => {
		const { state, store } = await loaded<number[]>([], { maxSize: 1_000_000 })
		store.auto.add('commit')
		const size = 4_000
		await state.set(() => Array.from({ length: size }, (_, n) => n))
		let longest = 0
		let last = performance.now()
		let watching = true
		const watch = (): void => {
			longest = Math.max(longest, performance.now() - last)
			last = performance.now()
			if (watching) setImmediate(watch)
		}
		const all = Array.from({ length: 400 }, (_, n) =>
			state.set((list) => {
				list[n] = -1
				return list
			}),
		)
		await turn()
		last = performance.now()
		watch()
		const values = await Promise.all(all)
		watching = false
		for (const [n, value] of values.entries()) {
			expect(value[n]).toBe(-1)
			expect(value[n + 1]).toBe(n + 1)
		}
		expect(state.get().filter((item) => item === -1)).toHaveLength(400)
		// One slice is 8 ms and one change; the rest is what a loaded machine takes.
		expect(longest).toBeLessThan(100)
		expect(store.memory.read('s')?.version).toBeGreaterThan(2)
	})

	it('take off a slice at a time, also when there are many more than fit into one flight', async () => {
		const { state, store } = await loaded<{ a: number }[]>([], { maxSize: 10_000_000 })
		store.auto.add('commit')
		await state.set(() => Array.from({ length: 4_000 }, () => ({ a: 0 })))
		let longest = 0
		let last = performance.now()
		let watching = true
		const watch = (): void => {
			longest = Math.max(longest, performance.now() - last)
			last = performance.now()
			if (watching) setImmediate(watch)
		}
		watch()
		const all = Array.from({ length: 600 }, (_, n) =>
			state.set((list) => {
				const [first] = list
				if (first) first.a = n + 1
				return list
			}),
		)
		const values = await Promise.all(all)
		watching = false
		expect(values.map(([first]) => first?.a)).toEqual(Array.from({ length: 600 }, (_, n) => n + 1))
		// All of them take more than a second; one slice is 8 ms and one change.
		expect(longest).toBeLessThan(500)
		expect(store.memory.read('s')?.version).toBeGreaterThan(3)
	})
})

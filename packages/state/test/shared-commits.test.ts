import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { StepStore, unsent } from './step-store.js'
import { loaded, make, rival, turn } from './stepped-state.js'
import { load } from './store-helpers.js'

describe('the first load', () => {
	it('takes a newer commit that it heard of meanwhile', async () => {
		const { state, store, seen } = make(0)
		;(await store.next('look')).answer()
		;(await store.next('create')).answer()
		// The answer is on its way; these come before it.
		store.tell({ version: 3, stamp: 'x.3', born: 'x.1', value: '30' })
		store.tell({ version: 2, stamp: 'x.2', born: 'x.1', value: '20' })
		store.tell({ version: 4, stamp: 'x.4', born: 'x.1', value: '{half' })
		await state.ready
		expect(state.get()).toBe(30)
		expect(state.version).toBe(3)
		expect(seen).toEqual([[30, 3]])
	})

	it('is tried again, and reported once', async () => {
		const { state, store, onError } = make(0)
		;(await store.next('look')).fail()
		;(await store.next('look')).fail()
		;(await store.next('look')).answer()
		;(await store.next('create')).fail()
		const create = await store.next('create')
		// Another instance was faster.
		load(store.memory, 's', '5')
		create.answer()
		await state.ready
		expect(onError).toHaveBeenCalledTimes(1)
		expect(state.get()).toBe(5)
	})

	it('that is answered after the state was closed changes nothing', async () => {
		const { state, store, manager, seen } = make(0, { initialValue: 0 })
		const look = await store.next('look')
		load(store.memory, 's', '5')
		state.close()
		look.answer()
		await expect(state.ready).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await turn()
		expect(state.get()).toBe(0)
		expect(state.version).toBe(0)
		expect([...manager.sent, ...seen]).toEqual([])
	})
})

describe('a commit on its way', () => {
	it('takes along everything that was asked for in the same tick as the load', async () => {
		const { state, store } = await loaded(0)
		const first = state.set((value) => value + 1)
		process.nextTick(() => void state.set((value) => value + 10))
		const commit = await store.next('commit')
		expect(commit.args[2]).toBe('11')
		commit.answer()
		expect(await first).toBe(1)
	})

	it('that is not answered is sent again with the same id, and lands once', async () => {
		const { state, store, seen } = await loaded(0)
		const done = state.set((value) => value + 1)
		const commit = await store.next('commit')
		commit.lose()
		const again = await store.next('commit')
		expect(again.args.slice(0, 4)).toEqual(commit.args.slice(0, 4))
		again.answer()
		expect(await done).toBe(1)
		expect(seen).toEqual([[1, 2]])
		expect(store.memory.read('s')?.version).toBe(2)
	})

	it('that was not sent is made anew, with what was asked for meanwhile', async () => {
		const { state, store } = await loaded(0)
		const first = state.set((value) => value + 1)
		const commit = await store.next('commit')
		const second = state.set((value) => value + 10)
		commit.fail(unsent())
		const again = await store.next('commit')
		expect(again.args[2]).toBe('11')
		expect(again.args[3]).not.toEqual(commit.args[3])
		again.answer()
		expect(await Promise.all([first, second])).toEqual([1, 11])
	})

	it('that may have been made is not taken apart, also when a later try was not sent', async () => {
		const { state, store } = await loaded(0)
		const done = state.set((value) => value + 1)
		const first = await store.next('commit')
		first.lose()
		const second = await store.next('commit')
		second.fail(unsent())
		const more = state.set((value) => value + 10)
		const third = await store.next('commit')
		expect(third.args.slice(1, 4)).toEqual(first.args.slice(1, 4))
		third.answer()
		expect(await done).toBe(1)
		;(await store.next('commit')).answer()
		expect(await more).toBe(11)
		expect(store.memory.read('s')?.value).toBe('11')
	})

	it('is given no longer than its first change may still wait', async () => {
		const { state, store } = await loaded(0, { deadline: 10_000 })
		const start = performance.now()
		state.set((value) => value + 1).catch(() => {})
		const commit = await store.next('commit')
		await until(() => performance.now() - start > 50)
		commit.fail()
		const again = await store.next('commit')
		const within = Reflect.get(Object(again.args[4]), 'within')
		expect(Reflect.get(Object(commit.args[4]), 'within')).toBeLessThanOrEqual(10_000)
		expect(within).toBeLessThanOrEqual(9_950)
		expect(within).toBeGreaterThan(5_000)
	})

	it('that is heard of as the newest value lands there, and its answer changes nothing more', async () => {
		const { state, store, manager, seen } = await loaded(0)
		const done = state.set((value) => value + 1)
		const commit = await store.next('commit')
		const [, expected, value, { writer, number }] = commit.args as Parameters<StepStore['commit']>
		store.tell({ version: expected.version + 1, stamp: `${writer}.${number}`, born: 'x.1', value })
		expect(await done).toBe(1)
		const next = state.set((now) => now + 1)
		commit.answer()
		;(await store.next('commit')).answer()
		expect(await next).toBe(2)
		expect(seen).toEqual([
			[1, 2],
			[2, 3],
		])
		expect(manager.sent).toHaveLength(2)
	})

	it('that lost against another instance is run again on its value', async () => {
		const { state, store, seen } = await loaded(0)
		const done = state.set((value) => value + 1)
		const commit = await store.next('commit')
		rival(store, 10)
		commit.answer()
		const again = await store.next('commit')
		expect(again.args[2]).toBe('11')
		again.answer()
		expect(await done).toBe(11)
		expect(seen).toEqual([
			[10, 2],
			[11, 3],
		])
	})

	it('is found again by its stamp after the store lost its data and its memory of ids', async () => {
		const { state, store } = await loaded(0)
		const done = state.set((value) => value + 1)
		const commit = await store.next('commit')
		commit.lose()
		const again = await store.next('commit')
		const [, , value, { writer, number }] = commit.args as Parameters<StepStore['commit']>
		const empty = new StepStore()
		empty.memory.restore('s', { version: 2, stamp: `${writer}.${number}`, born: 'x.1', value })
		Object.assign(store, { memory: empty.memory })
		again.answer()
		expect(await done).toBe(1)
		expect(state.version).toBe(2)
		expect(store.memory.read('s')?.version).toBe(2)
	})

	it('is not made twice when the store lost what came after it, but not the commit itself', async () => {
		const { state, store } = await loaded(0)
		const done = state.set((value) => value + 1)
		const commit = await store.next('commit')
		const [, , value, { writer, number }] = commit.args as Parameters<StepStore['commit']>
		commit.lose()
		const again = await store.next('commit')
		// Another instance went on from it, which this one heard of.
		store.tell(rival(store, 11))
		const empty = new StepStore()
		empty.memory.restore('s', { version: 2, stamp: `${writer}.${number}`, born: 'x.1', value })
		Object.assign(store, { memory: empty.memory })
		again.answer()
		expect(await done).toBe(1)
		await turn()
		expect(store.asked).toEqual([])
		expect(state.get()).toBe(11)
	})
})

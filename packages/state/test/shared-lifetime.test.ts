import { EvClosedError } from '@evstream/core'
import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { StepStore } from './step-store.js'
import { loaded, make, rival, turn } from './stepped-state.js'
import { remove } from './store-helpers.js'

describe('a change to the value that there is', () => {
	it('is only read, and lands if nobody changed it meanwhile, not even to the same version', async () => {
		const { state, store } = await loaded(5)
		const same = state.set((value) => value)
		const read = await store.next('read')
		// The store lost its data, and another history has got to the same version.
		const empty = new StepStore()
		empty.memory.restore('s', { version: 1, stamp: 'x.1', born: 'x.1', value: '7' })
		Object.assign(store, { memory: empty.memory })
		read.answer()
		;(await store.next('read')).answer()
		expect(await same).toBe(7)
		expect(state.get()).toBe(7)
	})
})

describe('a comparison with the store', () => {
	it('is made again when it failed, and begins the watch again if that had failed', async () => {
		const store = new StepStore()
		const { state } = make(0, {}, store)
		;(await store.next('watch')).fail()
		;(await store.next('look')).answer()
		;(await store.next('create')).answer()
		await state.ready
		await turn()
		expect(store.asked).toEqual([])
		const { state: checked, store: second } = make(0, { checkInterval: 20 }, new StepStore())
		;(await second.next('watch')).fail()
		;(await second.next('look')).answer()
		;(await second.next('create')).answer()
		await checked.ready
		await until(() => second.asked.length >= 2)
		expect(
			second.asked
				.splice(0)
				.map(({ method, fail }) => [method, fail()][0])
				.sort(),
		).toEqual(['read', 'watch'])
		await until(() => second.asked.length >= 2)
		expect(second.asked.map(({ method }) => method).sort()).toEqual(['read', 'watch'])
	})

	it('that failed is made again without being asked', async () => {
		const { state, store } = await loaded(0)
		store.missed()
		const read = await store.next('read')
		rival(store, 5)
		read.fail()
		;(await store.next('read')).answer()
		await until(() => state.get() === 5)
		await turn()
		expect(store.asked).toEqual([])
	})

	it('takes an older answer for a loss only if the version is lower than what was known when it was asked', async () => {
		const { state, store, seen } = await loaded(0)
		store.missed()
		const read = await store.next('read')
		const old = store.memory.read('s')
		read.answer()
		// The message of a commit overtakes the answer.
		store.tell(rival(store, 1))
		await turn()
		expect(state.get()).toBe(1)
		expect(store.asked).toEqual([])
		expect(old?.version).toBe(1)
		expect(seen).toEqual([[1, 2]])
	})

	it('puts back what the store itself gave, and not what it only heard of', async () => {
		const { state, store } = await loaded(0)
		store.tell({ version: 9, stamp: 'x.9', born: 'x.1', value: '90' })
		expect(state.get()).toBe(90)
		store.missed()
		const read = await store.next('read')
		const empty = new StepStore()
		Object.assign(store, { memory: empty.memory })
		read.answer()
		const restore = await store.next('restore')
		expect(restore.args[1]).toMatchObject({ version: 1, value: '0' })
		restore.answer()
		expect((await store.next('read')).method).toBe('read')
		expect(empty.memory.read('s')?.version).toBe(1)
	})

	it('puts back what a comparison confirmed', async () => {
		const { store } = await loaded(0)
		const newer = rival(store, 5)
		store.tell(newer)
		store.missed()
		;(await store.next('read')).answer()
		await turn()
		Object.assign(store, { memory: new StepStore().memory })
		store.missed()
		;(await store.next('read')).answer()
		const restore = await store.next('restore')
		expect(restore.args[1]).toEqual(newer)
	})

	it('waits when the store is behind what was published, and takes what an instance puts back', async () => {
		const { state, store, onError } = await loaded(0)
		const published = { version: 9, stamp: 'x.9', born: 'x.1', value: '90' }
		store.tell(published)
		const done = state.set((value) => value + 1)
		store.missed()
		// Sent before: it lost.
		;(await store.next('read')).answer()
		const again = await store.next('read')
		expect(onError).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 'EV_UNAVAILABLE' }))
		store.memory.restore('s', published)
		again.answer()
		;(await store.next('commit')).answer()
		expect(await done).toBe(91)
		expect(store.memory.read('s')).toMatchObject({ version: 10, value: '91' })
	})

	it('goes back to what the store holds if nobody puts back what was published', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
		onTestFinished(() => void vi.useRealTimers())
		const { state, store, manager, seen } = make(0, {}, new StepStore('watch', 'look', 'create', 'read'))
		await state.ready
		await turn()
		store.tell({ version: 9, stamp: 'x.9', born: 'x.1', value: '90' })
		const done = state.set((value) => value + 1)
		store.missed()
		await vi.advanceTimersByTimeAsync(4_900)
		expect(state.version).toBe(9)
		expect(store.asked).toEqual([])
		await vi.advanceTimersByTimeAsync(1_200)
		expect(state.version).toBe(1)
		expect(seen).toEqual([
			[90, 9],
			[0, 1],
		])
		;(await store.next('commit')).answer()
		expect(await done).toBe(1)
		expect(manager.sent.at(-1)).toEqual({ event: 's', data: { value: 1 } })
		expect(store.memory.read('s')).toMatchObject({ version: 2, value: '1' })
	})

	it('closes the state that was removed', async () => {
		const { state, store, manager } = await loaded(0)
		remove(store.memory, 's')
		store.missed()
		;(await store.next('read')).answer()
		;(await store.next('restore')).answer()
		await until(() => state.closed)
		expect(manager.snapshots.size).toBe(0)
		expect(store.watchers.size).toBe(0)
	})

	it('that is answered after the close puts nothing back', async () => {
		const { state, store } = await loaded(0)
		store.missed()
		const read = await store.next('read')
		remove(store.memory, 's')
		state.close()
		read.answer()
		await turn()
		expect(store.asked).toEqual([])
	})
})

describe('a shared state that is closed', () => {
	it('asks the store nothing more, hears nothing more, and has no timer left', async () => {
		const { state, store, manager, seen } = await loaded(0, { checkInterval: 10 })
		store.auto.add('read')
		for (const { answer } of store.asked.splice(0)) answer()
		const done = expect(state.set((value) => value + 1)).rejects.toMatchObject({ code: 'EV_CLOSED' })
		const commit = await store.next('commit')
		store.auto.clear()
		const [watcher] = store.watchers
		state.close()
		await done
		expect(store.watchers.size).toBe(0)
		commit.fail()
		watcher?.changed({ version: 9, stamp: 'x.9', born: 'x.1', value: '9' })
		watcher?.missed()
		const start = performance.now()
		await until(() => performance.now() - start > 60)
		expect(store.asked).toEqual([])
		expect(state.get()).toBe(0)
		expect([...manager.sent, ...seen]).toEqual([])
	})

	it('has no timer left, whatever it waited for', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
		onTestFinished(() => void vi.useRealTimers())
		const { state, store } = make(
			0,
			{ checkInterval: 1_000 },
			new StepStore('watch', 'look', 'create', 'read'),
		)
		await turn()
		expect(vi.getTimerCount()).toBe(1)
		state.set((value) => value + 1).catch(() => {})
		await turn()
		store.asked[0]?.fail()
		await turn()
		// The check, the deadline of the change, and the pause after the failure.
		expect(vi.getTimerCount()).toBe(3)
		state.close()
		expect(vi.getTimerCount()).toBe(0)
	})

	it('before it was loaded leaves no rejection unhandled, and reports no late message', async () => {
		const unhandled = vi.fn()
		process.on('unhandledRejection', unhandled)
		onTestFinished(() => void process.off('unhandledRejection', unhandled))
		const { state, store, onError } = make(0)
		await turn()
		const [watcher] = store.watchers
		state.set((value) => value + 1)
		state.close()
		watcher?.changed({ version: 2, stamp: 'x.2', born: 'x.1', value: 'garbage' })
		await turn()
		expect(unhandled).not.toHaveBeenCalled()
		expect(onError).not.toHaveBeenCalled()
		await expect(state.ready).rejects.toMatchObject({ code: 'EV_CLOSED' })
	})

	it('because its adapter was closed rejects what waits, and reports no failure', async () => {
		const { state, store, onError } = await loaded(0)
		const done = expect(state.set((value) => value + 1)).rejects.toMatchObject({ code: 'EV_CLOSED' })
		;(await store.next('commit')).fail(new EvClosedError('The adapter'))
		await done
		expect(state.closed).toBe(true)
		await turn()
		expect(store.asked).toEqual([])
		expect(onError).not.toHaveBeenCalled()
	})

	it('refuses a change, and reports the refusal', async () => {
		const { state, onError } = await loaded(0)
		state.close()
		await expect(state.set((value) => value)).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(onError).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 'EV_CLOSED' }))
	})
})

describe('what a shared state gives out', () => {
	it('can be changed without harm to the state: from set, get and subscribe', async () => {
		const initial = { list: [1] }
		const { state, store } = await loaded(initial)
		initial.list.push(9)
		expect(state.get()).toEqual({ list: [1] })
		state.subscribe((value) => void value.list.push(9))
		const done = state.set(({ list }) => ({ list: [...list, 2] }))
		;(await store.next('commit')).answer()
		;(await done).list.push(9)
		state.get().list.push(9)
		const next = state.set(({ list }) => ({ list: [...list, 3] }))
		const commit = await store.next('commit')
		expect(commit.args[2]).toBe('{"list":[1,2,3]}')
		commit.answer()
		await next
	})

	it('is one copy for all who ask, until it changes', async () => {
		const { state, store } = await loaded({ n: 1 })
		const first = state.get()
		expect(state.get()).toBe(first)
		const done = state.set(({ n }) => ({ n: n + 1 }))
		expect(state.get()).toEqual({ n: 2 })
		;(await store.next('commit')).answer()
		await done
		expect(state.get()).toEqual({ n: 2 })
	})

	it('is bounded by what the committed value weighs', async () => {
		const { state, store } = await loaded('')
		const large = 'x'.repeat(1024 * 1024)
		const big = make('', { maxSize: 2 * large.length }, new StepStore('watch'))
		;(await big.store.next('look')).answer()
		;(await big.store.next('create')).answer()
		;(await big.store.next('read')).answer()
		big.store.tell({ version: 2, stamp: 'x.2', born: 'x.1', value: JSON.stringify(large) })
		expect(big.state.get()).toBe(large)
		const waiting = Array.from({ length: 100 }, () => big.state.set((text) => text))
		for (const one of waiting) one.catch(() => {})
		await expect(big.state.set((text) => text)).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		expect(state.get()).toBe('')
		expect(store.asked).toEqual([])
	})
})

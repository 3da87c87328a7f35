import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { setUp, turn } from './registry-setup.js'
import { StepStore } from './step-store.js'
import { register, remove } from './store-helpers.js'

describe('what is on the list', () => {
	it('is followed, once, also if the watch begins late', async () => {
		const { store, local, onError } = setUp({ auto: false })
		register(store.memory, 'a', '1')
		const watch = await store.next('watchList')
		;(await store.next('list')).answer()
		await until(() => local.follow.mock.calls.length === 1)
		register(store.memory, 'b', '1')
		// Nobody told of `b`: what was created before the watch began counts as missed.
		watch.answer()
		;(await store.next('list')).answer()
		await until(() => local.follow.mock.calls.length === 2)
		expect(local.follow.mock.calls).toEqual([
			['a', '1'],
			['b', '1'],
		])
		await turn()
		expect(store.asked).toEqual([])
		expect(onError).not.toHaveBeenCalled()
	})

	it('is looked at again after a look that failed, and after a watch that failed', async () => {
		const { store, local, onError, registry } = setUp({ auto: false })
		register(store.memory, 'a', '1')
		;(await store.next('watchList')).fail()
		;(await store.next('list')).fail()
		;(await store.next('list')).answer()
		await until(() => local.follow.mock.calls.length === 1)
		expect(onError).toHaveBeenCalledTimes(1)
		registry.changed()
		;(await store.next('watchList')).answer()
		await until(() => store.listWatchers.size === 1)
		registry.changed()
		await turn()
		expect(store.asked.map(({ method }) => method)).toEqual(['list'])
	})

	it('is looked at once more if it changed during a look', async () => {
		const { store, local } = setUp()
		await turn()
		store.auto.delete('list')
		store.listMissed()
		const running = await store.next('list')
		running.answer()
		register(store.memory, 'late', '1')
		store.listMissed()
		;(await store.next('list')).answer()
		await until(() => local.follow.mock.calls.length === 1)
		await turn()
		expect(store.asked).toEqual([])
	})

	it('is looked at from time to time, and not after the close', async () => {
		const { store, local, registry } = setUp({ checkInterval: 10 })
		await turn()
		register(store.memory, 'a', '1')
		await until(() => local.follow.mock.calls.length === 1)
		registry.close()
		await turn()
		store.auto.clear()
		const start = performance.now()
		await until(() => performance.now() - start > 50)
		expect(store.asked).toEqual([])
	})

	it('is not taken for true if something was removed here while it was read', async () => {
		const { store, local, registry, create } = setUp()
		store.auto.add('create')
		await create('a')
		store.auto.delete('list')
		registry.changed()
		const look = await store.next('list')
		registry.remove('a')
		local.follow.mockClear()
		local.drop('a')
		;(await store.next('remove')).answer()
		await turn()
		// It was read before the removal.
		Object.assign(store.memory, { list: () => ({ stamp: 'old', states: [{ name: 'a', initial: '1' }] }) })
		look.answer()
		await turn()
		expect(local.follow).not.toHaveBeenCalled()
	})
})

describe('a state that is not on the list', () => {
	it('is put back if the store lost it, and let go of if it was removed', async () => {
		const { store, local, registry, create } = setUp()
		store.auto.add('create').add('restore')
		await create('kept')
		await create('removed')
		const empty = new StepStore()
		register(empty.memory, 'removed', '1')
		remove(empty.memory, 'removed')
		Object.assign(store, { memory: empty.memory })
		registry.changed()
		await until(() => local.drop.mock.calls.length === 1)
		expect(local.drop).toHaveBeenCalledWith('removed')
		await until(() => empty.memory.list()?.states.length === 1)
		expect(empty.memory.list()?.states).toEqual([{ name: 'kept', initial: '1' }])
	})

	it('and was not loaded yet is left alone: it will put itself there', async () => {
		const { store, local, registry, create } = setUp()
		const { loading } = await create('new')
		registry.changed()
		await turn()
		expect(store.asked.map(({ method }) => method)).toEqual(['create'])
		expect(local.drop).not.toHaveBeenCalled()
		store.asked[0]?.answer()
		expect(await loading).toMatchObject({ version: 1 })
	})

	it('and was let go of while others were put back is not put back', async () => {
		const { store, registry, create } = setUp()
		store.auto.add('create')
		await create('first')
		await create('second')
		const empty = new StepStore()
		Object.assign(store, { memory: empty.memory })
		registry.changed()
		const restore = await store.next('restore')
		expect(restore.args[0]).toBe('first')
		registry.remove('second')
		restore.answer()
		;(await store.next('remove')).answer()
		await turn()
		expect(store.asked).toEqual([])
		expect(empty.memory.read('second')).toBeUndefined()
	})

	it("is nobody's any more once it was removed here, also if its load ends after that", async () => {
		const { store, local, registry, create } = setUp()
		const { states, loading } = await create('a')
		const lost = expect(loading).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		const place = states.look('a')
		;(await store.next('create')).lose()
		await lost
		const again = expect(Promise.resolve(states.create('a', '1', await place, false))).rejects.toMatchObject({
			code: 'EV_CLOSED',
		})
		const register = await store.next('create')
		remove(store.memory, 'a')
		registry.remove('a')
		register.answer()
		await again
		expect(local.drop).not.toHaveBeenCalled()
	})

	it('tells only of the view that is the present one of its name', async () => {
		const { store, local, registry, create } = setUp()
		store.auto.add('create').add('restore')
		const { states: old } = await create('a')
		await create('a')
		remove(store.memory, 'a')
		await Promise.resolve(old.restore('a', { version: 9, stamp: 'x.9', born: 'x.1', value: '9' })).catch(
			() => {},
		)
		expect(local.drop).not.toHaveBeenCalled()
		registry.close()
	})
})

describe('a change of the list', () => {
	it('whose state could not be created here is tried again at the next comparison', async () => {
		const { store, local } = setUp({ checkInterval: 20 })
		local.follow.mockImplementationOnce(() => {})
		register(store.memory, 'a', '1')
		await until(() => local.follow.mock.calls.length === 2)
		expect(local.has('a')).toBe(true)
	})

	it('costs a look at the one name, and the next comparison nothing', async () => {
		const { store, local } = setUp({ auto: false, checkInterval: 400 })
		;(await store.next('watchList')).answer()
		;(await store.next('list')).answer()
		;(await store.next('list')).answer()
		await turn()
		for (const name of ['a', 'b']) {
			const before = store.memory.list()?.stamp ?? ''
			register(store.memory, name, '1')
			store.listChanged({ name, before, after: store.memory.list()?.stamp ?? '' })
			const look = await store.next('look')
			expect(look.args).toEqual([name])
			look.answer()
			await until(() => local.follow.mock.lastCall?.[0] === name)
		}
		// The stamp with both changes: nothing else is to be read.
		const check = await store.next('list')
		expect(check.args).toEqual([store.memory.list()?.stamp])
		expect(store.memory.list(String(check.args[0]))).toBeUndefined()
		check.answer()
	})

	it('that was not heard of is found by the stamp at the next comparison', async () => {
		const { store, local } = setUp({ checkInterval: 20 })
		await turn()
		const before = store.memory.list()?.stamp ?? ''
		register(store.memory, 'missed', '1')
		const between = store.memory.list()?.stamp ?? ''
		register(store.memory, 'heard', '1')
		store.listChanged({ name: 'heard', before: between, after: store.memory.list()?.stamp ?? '' })
		expect(before).not.toBe(between)
		await until(() => local.follow.mock.calls.length === 2)
		expect(local.follow.mock.calls.map(([name]) => name).sort()).toEqual(['heard', 'missed'])
	})

	it('is looked at again when a state turns out to be removed: it may have been created again', async () => {
		const { store, local, create } = setUp()
		const { loading } = await create('a')
		const closed = expect(loading).rejects.toMatchObject({ code: 'EV_CLOSED' })
		const answer = await store.next('create')
		register(store.memory, 'a', '3')
		store.listChanged({ name: 'a', before: 'x', after: 'y' })
		await turn()
		expect(local.follow).not.toHaveBeenCalled()
		// Its answer was given before: then it was removed.
		Object.assign(store.memory, { create: () => undefined })
		answer.answer()
		await closed
		await until(() => local.follow.mock.lastCall?.[1] === '3')
		expect(local.drop).toHaveBeenCalledTimes(1)
	})
})

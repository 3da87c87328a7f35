import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { setUp, turn } from './registry-setup.js'
import { register } from './store-helpers.js'

describe('a removal', () => {
	it('waits for a registration on its way, so that this cannot come after it', async () => {
		const { store, registry, create } = setUp()
		const { loading } = await create('a')
		const done = loading.catch(() => {})
		registry.remove('a')
		await turn()
		expect(store.asked.map(({ method }) => method)).toEqual(['create'])
		;(await store.next('create')).answer()
		await done
		;(await store.next('remove')).answer()
		await turn()
		expect(store.memory.list()?.states).toEqual([])
	})

	it('is tried again with what it meant at first, and keeps no other removal waiting', async () => {
		const { store, registry, local } = setUp()
		registry.remove('a')
		registry.remove('b')
		const first = await store.next('remove')
		first.lose()
		const second = await store.next('remove')
		expect(second.args[0]).toBe('b')
		register(store.memory, 'a', '2')
		second.answer()
		const again = await store.next('remove')
		expect(again.args).toEqual(first.args)
		again.answer()
		await turn()
		expect(store.memory.read('a')?.value).toBe('2')
		// What was created since is followed.
		expect(local.follow).toHaveBeenLastCalledWith('a', '2')
	})

	it('keeps a new state of the name waiting, the newest removal counts', async () => {
		const { store, registry, create } = setUp()
		store.auto.add('create')
		registry.remove('a')
		registry.remove('a')
		const { loading } = await create('a')
		;(await store.next('remove')).answer()
		const last = await store.next('remove')
		expect(store.memory.list()?.states).toEqual([])
		last.answer()
		expect(await loading).toMatchObject({ value: '1' })
		expect(store.memory.list()?.states).toHaveLength(1)
	})

	it('keeps nobody waiting once it is done', async () => {
		const { store, registry } = setUp()
		registry.remove('a')
		const done = registry.removed('a')
		;(await store.next('remove')).answer()
		await done
		await registry.removed('a')
		await registry.removed('never')
	})
})

describe('a registry that is closed', () => {
	it('watches no more, also if its watch was only beginning', async () => {
		const { store, registry } = setUp()
		await until(() => store.listWatchers.size === 1)
		registry.close()
		expect(store.listWatchers.size).toBe(0)
		const late = setUp({ auto: false })
		const watch = await late.store.next('watchList')
		late.registry.close()
		watch.answer()
		await turn()
		expect(late.store.listWatchers.size).toBe(0)
	})

	it('looks at the list no more, and does nothing with a look that was on its way', async () => {
		const { store, local, registry, onError } = setUp({ auto: false })
		;(await store.next('watchList')).answer()
		const [look] = [await store.next('list')]
		register(store.memory, 'a', '1')
		registry.close()
		look.answer()
		registry.changed()
		await turn()
		expect(store.asked).toEqual([])
		expect(local.follow).not.toHaveBeenCalled()
		expect(onError).not.toHaveBeenCalled()
	})

	it('reports no watch that failed after it', async () => {
		const { store, registry, onError } = setUp({ auto: false })
		const watch = await store.next('watchList')
		;(await store.next('list')).answer()
		await turn()
		registry.close()
		watch.fail()
		await turn()
		expect(onError).not.toHaveBeenCalled()
	})

	it('tries a removal that waits once more at once, reports if that fails, and then is silent', async () => {
		const { store, registry, onError } = setUp()
		registry.remove('a')
		registry.remove('b')
		;(await store.next('remove')).fail()
		await turn()
		expect(onError).toHaveBeenCalledTimes(1)
		const start = performance.now()
		registry.close()
		await turn()
		// The pause after a failure is 25 ms at least.
		expect(store.asked.map(({ args }) => args[0])).toEqual(['b'])
		expect(performance.now() - start).toBeLessThan(1_000)
		;(await store.next('remove')).fail()
		;(await store.next('remove')).fail()
		await turn()
		// Of one outage it is told once.
		expect(onError).toHaveBeenCalledTimes(1)
		expect(store.asked).toEqual([])
	})

	it('lets none of its states reach the store', async () => {
		const { store, registry, create } = setUp()
		store.auto.add('create').add('restore')
		const { states } = await create('a')
		registry.close()
		await expect(
			states.restore('a', { version: 9, stamp: 'x.9', born: 'x.1', value: '9' }),
		).rejects.toMatchObject({
			code: 'EV_CLOSED',
		})
		expect(store.memory.read('a')?.version).toBe(1)
	})

	it('has no timer left', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
		onTestFinished(() => void vi.useRealTimers())
		const { registry } = setUp({ checkInterval: 1_000 })
		await turn()
		expect(vi.getTimerCount()).toBe(1)
		registry.close()
		expect(vi.getTimerCount()).toBe(0)
	})
})

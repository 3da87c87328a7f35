import { EvUnavailableError } from '@evstream/core'
import { describe, expect, it, vi } from 'vitest'
import { StoreWatch } from '../src/store-watch.js'
import { StepStore } from './step-store.js'

function setUp() {
	const store = new StepStore()
	const watcher = { changed: vi.fn(), missed: vi.fn() }
	const onError = vi.fn()
	return { store, watcher, onError, watch: new StoreWatch(store, 's', watcher, onError) }
}

describe('StoreWatch', () => {
	it('begins once, and takes what was committed before for missed', async () => {
		const { store, watch, watcher } = setUp()
		const begun = watch.begin()
		await watch.begin()
		expect(watcher.missed).not.toHaveBeenCalled()
		expect(store.asked).toHaveLength(1)
		store.asked[0]?.answer()
		await begun
		await watch.begin()
		expect(store.asked).toHaveLength(1)
		expect(watcher.missed).toHaveBeenCalledTimes(1)
	})

	it('reports a try that failed, and tries again when it is asked', async () => {
		const { store, watch, watcher, onError } = setUp()
		const begun = watch.begin()
		const error = new EvUnavailableError('away')
		store.asked[0]?.fail(error)
		await begun
		expect(onError).toHaveBeenCalledExactlyOnceWith(error)
		const again = watch.begin()
		store.asked[1]?.answer()
		await again
		expect(watcher.missed).toHaveBeenCalledTimes(1)
	})

	it('does not stay behind when it is closed, whether it had begun or was beginning', async () => {
		const { store, watch } = setUp()
		const begun = watch.begin()
		store.asked[0]?.answer()
		await begun
		expect(store.watchers.size).toBe(1)
		watch.close()
		expect(store.watchers.size).toBe(0)
		const late = setUp()
		const beginning = late.watch.begin()
		late.watch.close()
		late.store.asked[0]?.answer()
		await beginning
		expect(late.store.watchers.size).toBe(0)
		expect(late.watcher.missed).not.toHaveBeenCalled()
	})

	it('reports no failure after it was closed', async () => {
		const { store, watch, onError } = setUp()
		const begun = watch.begin()
		watch.close()
		store.asked[0]?.fail()
		await begun
		expect(onError).not.toHaveBeenCalled()
	})
})

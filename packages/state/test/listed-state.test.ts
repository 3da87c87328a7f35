import type { StoredState } from '@evstream/core'
import { describe, expect, it, vi } from 'vitest'
import { ListedState } from '../src/listed-state.js'
import { StepStore } from './step-store.js'
import { load, loadFrom, register, remove } from './store-helpers.js'

function setUp({ follows = false, auto = true } = {}) {
	const store = new StepStore()
	if (auto)
		for (const method of ['look', 'create', 'restore', 'read', 'commit', 'watch'] as const)
			store.auto.add(method)
	const owner = { removed: vi.fn(() => Promise.resolve()), gone: vi.fn() }
	return { store, owner, view: new ListedState(store, owner, 's', follows) }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const state = (version: number): StoredState => ({
	version,
	stamp: `x.${version}`,
	born: 'x.1',
	value: String(version),
})

describe('the load of a state on the list', () => {
	it('puts it on the list, once an earlier removal is done', async () => {
		const { store, owner, view } = setUp()
		let done = (): void => {}
		owner.removed.mockReturnValue(
			new Promise((resolve) => {
				done = resolve
			}),
		)
		const loading = loadFrom(view, 's', '5')
		await turn()
		expect(store.memory.list()?.states).toEqual([])
		done()
		expect(await loading).toMatchObject({ version: 1, value: '5' })
		expect(store.memory.list()?.states).toEqual([{ name: 's', initial: '5' }])
		expect(owner.removed).toHaveBeenCalledWith('s')
	})

	it('puts nothing on the list if it was let go of meanwhile', async () => {
		const { store, view } = setUp()
		const loading = expect(loadFrom(view, 's', '5')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		view.cancelled = true
		await loading
		expect(store.memory.list()?.states).toEqual([])
	})

	it('is one decision, however often it is tried: a state removed after the first is gone', async () => {
		const { store, owner, view } = setUp({ auto: false })
		store.auto.add('look')
		const place = await view.look('s')
		const first = expect(view.create('s', '5', place)).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		;(await store.next('create')).lose()
		await first
		remove(store.memory, 's')
		const second = expect(view.create('s', '5', place)).rejects.toMatchObject({ code: 'EV_CLOSED' })
		;(await store.next('create')).answer()
		await second
		expect(owner.gone).toHaveBeenCalledExactlyOnceWith(view)
		expect(store.memory.list()?.states).toEqual([])
	})

	it('writes nothing if it is there and on the list, as it must on a store that is full', async () => {
		const { store, view } = setUp({ auto: false })
		store.auto.add('look')
		register(store.memory, 's', '7')
		expect(await loadFrom(view, 's', '5')).toMatchObject({ version: 1, value: '7' })
		expect(store.asked).toEqual([])
		Object.assign(store, { memory: new StepStore().memory })
		store.auto.add('restore')
		await view.restore('s', state(4))
		expect(store.memory.list()?.states).toEqual([{ name: 's', initial: '7' }])
	})

	it('puts one on the list that is there without it', async () => {
		const { store, view } = setUp()
		load(store.memory, 's', '7')
		expect(await loadFrom(view, 's', '5')).toMatchObject({ version: 1, value: '7' })
		expect(store.memory.list()?.states).toEqual([{ name: 's', initial: '5' }])
	})

	it('of one that another instance created does not bring it back if it was removed since', async () => {
		const { store, owner, view } = setUp({ follows: true })
		register(store.memory, 's', '5')
		remove(store.memory, 's')
		await expect(loadFrom(view, 's', '5')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(owner.gone).toHaveBeenCalledWith(view)
		expect(store.memory.list()?.states).toEqual([])
		expect(store.memory.read('s')).toBeUndefined()
	})

	it('of one that another instance created takes its value, or puts it back if it was lost', async () => {
		const { store, view } = setUp({ follows: true })
		store.memory.restore('s', state(4))
		expect(await loadFrom(view, 's', '5')).toEqual(state(4))
		const lost = setUp({ follows: true })
		expect(await loadFrom(lost.view, 's', '5')).toMatchObject({ version: 1, value: '5' })
		expect(lost.store.memory.list()?.states).toEqual([{ name: 's', initial: '5' }])
	})

	it('is waited for as a registration on its way, also one that fails', async () => {
		const { store, view } = setUp({ auto: false })
		store.auto.add('look')
		const loading = expect(loadFrom(view, 's', '5')).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		const register = await store.next('create')
		const over = vi.fn()
		void view.creating.then(over)
		await turn()
		expect(over).not.toHaveBeenCalled()
		register.fail()
		await loading
		await turn()
		expect(over).toHaveBeenCalledTimes(1)
	})
})

describe('the newest version that came by', () => {
	it('is seen in every answer and every message, and never falls', async () => {
		const { store, view } = setUp()
		expect(view.confirmed).toBeUndefined()
		await loadFrom(view, 's', '1')
		expect(view.confirmed).toMatchObject({ version: 1, value: '1' })
		const now = store.memory.read('s') ?? state(1)
		const committed = await view.commit('s', now, '2', { writer: 'w', number: 1 })
		expect(view.confirmed).toEqual(committed.state)
		const heard: StoredState[] = []
		await view.watch('s', { changed: (changed) => heard.push(changed), missed() {} })
		store.tell(state(5))
		store.tell(state(3))
		expect(heard).toEqual([state(5), state(3)])
		expect(view.newest).toEqual(state(5))
		// What only a message told is not put back.
		expect(view.confirmed).toEqual(committed.state)
		store.memory.restore('s', state(7))
		await view.read('s')
		expect(view.confirmed).toEqual(state(7))
		store.memory.restore('s', state(9))
		expect(await view.restore('s', state(8))).toEqual(state(9))
		expect(view.confirmed).toEqual(state(9))
	})

	it('is another one of the same version if the store says so', async () => {
		const { store, view } = setUp()
		await loadFrom(view, 's', '1')
		await view.watch('s', { changed() {}, missed() {} })
		const other = { ...state(1), stamp: 'another.1' }
		store.tell(other)
		expect(view.newest).toEqual(other)
		expect(view.confirmed).toMatchObject({ version: 1, value: '1' })
	})

	it('passes on that messages were missed', async () => {
		const { store, view } = setUp()
		const missed = vi.fn()
		await view.watch('s', { changed() {}, missed })
		store.missed()
		expect(missed).toHaveBeenCalledTimes(1)
	})
})

describe('putting back a state on the list', () => {
	it('puts its name back with what it was created with', async () => {
		const { store, view } = setUp()
		await loadFrom(view, 's', '5')
		const empty = new StepStore()
		Object.assign(store, { memory: empty.memory })
		await view.restore('s', state(4))
		expect(empty.memory.list()?.states).toEqual([{ name: 's', initial: '5' }])
		expect(empty.memory.read('s')).toEqual(state(4))
	})

	it('tells its owner when it was removed, and asks for nothing once it was let go of', async () => {
		const { store, owner, view } = setUp()
		await loadFrom(view, 's', '5')
		remove(store.memory, 's')
		expect(await view.restore('s', { ...state(1), version: 1 })).toBeUndefined()
		expect(owner.gone).toHaveBeenCalledExactlyOnceWith(view)
		view.cancelled = true
		load(store.memory, 's', '1')
		await expect(view.restore('s', state(9))).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(store.memory.read('s')?.version).toBeLessThan(9)
	})
})

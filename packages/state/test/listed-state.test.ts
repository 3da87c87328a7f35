import type { StoredState } from '@evstream/core'
import { describe, expect, it, vi } from 'vitest'
import { ListedState } from '../src/listed-state.js'
import { StepStore } from './step-store.js'

function setUp({ follows = false, auto = true } = {}) {
	const store = new StepStore()
	if (auto)
		for (const method of ['register', 'restore', 'read', 'commit', 'watch'] as const) store.auto.add(method)
	const owner = { removed: vi.fn(() => Promise.resolve()), gone: vi.fn() }
	return { store, owner, view: new ListedState(store, owner, 's', follows) }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const state = (version: number): StoredState => ({ version, stamp: `x.${version}`, value: String(version) })

describe('the load of a state on the list', () => {
	it('puts it on the list, once an earlier removal is done', async () => {
		const { store, owner, view } = setUp()
		let done = (): void => {}
		owner.removed.mockReturnValue(
			new Promise((resolve) => {
				done = resolve
			}),
		)
		const loading = view.load('s', '5')
		await turn()
		expect(store.memory.list()).toEqual([])
		done()
		expect(await loading).toMatchObject({ version: 1, value: '5' })
		expect(store.memory.list()).toEqual([{ name: 's', initial: '5' }])
		expect(owner.removed).toHaveBeenCalledWith('s')
	})

	it('puts nothing on the list if it was let go of meanwhile', async () => {
		const { store, view } = setUp()
		const loading = expect(view.load('s', '5')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		view.cancelled = true
		await loading
		expect(store.memory.list()).toEqual([])
	})

	it('is one operation, however often it is tried: a state removed after the first is gone', async () => {
		const { store, owner, view } = setUp({ auto: false })
		const first = expect(view.load('s', '5')).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		;(await store.next('register')).lose()
		await first
		store.memory.remove('s', { writer: 'other', number: 1 })
		const second = expect(view.load('s', '5')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		;(await store.next('register')).answer()
		await second
		expect(owner.gone).toHaveBeenCalledExactlyOnceWith(view)
		expect(store.memory.list()).toEqual([])
	})

	it('of one that another instance created does not bring it back if it was removed since', async () => {
		const { store, owner, view } = setUp({ follows: true })
		store.memory.register({ name: 's', initial: '5' }, { writer: 'other', number: 1 })
		store.memory.remove('s', { writer: 'other', number: 2 })
		await expect(view.load('s', '5')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(owner.gone).toHaveBeenCalledWith(view)
		expect(store.memory.list()).toEqual([])
		expect(store.memory.read('s')).toBeUndefined()
	})

	it('of one that another instance created takes its value, or puts it back if it was lost', async () => {
		const { store, view } = setUp({ follows: true })
		store.memory.restore('s', state(4))
		expect(await view.load('s', '5')).toEqual(state(4))
		const lost = setUp({ follows: true })
		expect(await lost.view.load('s', '5')).toMatchObject({ version: 1, value: '5' })
		expect(lost.store.memory.list()).toEqual([{ name: 's', initial: '5' }])
	})

	it('is waited for as a registration on its way, also one that fails', async () => {
		const { store, view } = setUp({ auto: false })
		const loading = expect(view.load('s', '5')).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		const register = await store.next('register')
		const over = vi.fn()
		void view.registering.then(over)
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
		expect(view.latest).toBeUndefined()
		await view.load('s', '1')
		expect(view.latest).toMatchObject({ version: 1, value: '1' })
		const now = store.memory.read('s') ?? state(1)
		const committed = await view.commit('s', now, '2', { writer: 'w', number: 1 })
		expect(view.latest).toEqual(committed.state)
		const heard: StoredState[] = []
		await view.watch('s', { changed: (changed) => heard.push(changed), missed() {} })
		store.tell(state(5))
		store.tell(state(3))
		expect(heard).toEqual([state(5), state(3)])
		expect(view.latest).toEqual(state(5))
		store.memory.restore('s', state(7))
		await view.read('s')
		expect(view.latest).toEqual(state(7))
		store.memory.restore('s', state(9))
		expect(await view.restore('s', state(8))).toEqual(state(9))
		expect(view.latest).toEqual(state(9))
	})

	it('is another one of the same version if the store says so', async () => {
		const { store, view } = setUp()
		await view.load('s', '1')
		await view.watch('s', { changed() {}, missed() {} })
		const other = { ...state(1), stamp: 'another.1' }
		store.tell(other)
		expect(view.latest).toEqual(other)
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
		await view.load('s', '5')
		const empty = new StepStore()
		Object.assign(store, { memory: empty.memory })
		await view.restore('s', state(4))
		expect(empty.memory.list()).toEqual([{ name: 's', initial: '5' }])
		expect(empty.memory.read('s')).toEqual(state(4))
	})

	it('tells its owner when it was removed, and asks for nothing once it was let go of', async () => {
		const { store, owner, view } = setUp()
		await view.load('s', '5')
		store.memory.remove('s', { writer: 'x', number: 1 })
		expect(await view.restore('s', state(4))).toBeUndefined()
		expect(owner.gone).toHaveBeenCalledExactlyOnceWith(view)
		view.cancelled = true
		store.memory.load('s', '1')
		await expect(view.restore('s', state(9))).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(store.memory.read('s')?.version).toBeLessThan(9)
	})
})

import { MemoryStateStore } from '@evstream/core'
import { until } from '@evstream/testkit'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { EvState, type EvStateOptions } from '../src/index.js'
import { load, remove } from './store-helpers.js'
import { FakeManager } from './support.js'
import { UnreliableStore } from './unreliable-store.js'

const states: { close(): void }[] = []

afterEach(() => {
	for (const state of states.splice(0)) state.close()
})

function instance<T>(store: MemoryStateStore, initialValue: T, options: Partial<EvStateOptions<T>> = {}) {
	const network = new UnreliableStore(store)
	const manager = new FakeManager()
	const onError = vi.fn()
	const state = new EvState<T>({
		channel: 's',
		initialValue,
		manager,
		adapter: { states: network },
		onError,
		checkInterval: false,
		...options,
	})
	states.push(state)
	return { state, network, manager, onError }
}

describe('EvState of several instances', () => {
	it('takes the stored value; the initial one only if there is none', async () => {
		const store = new MemoryStateStore()
		const a = instance(store, 5)
		expect(a.state.get()).toBe(5)
		expect(a.state.version).toBe(0)
		expect(a.manager.snapshot('s')).toBeUndefined()
		await a.state.ready
		await a.state.set((value) => value + 1)
		const b = instance(store, 0)
		await b.state.ready
		expect(b.state.get()).toBe(6)
		expect(b.state.version).toBe(2)
		expect(b.manager.snapshot('s')).toEqual({ event: 's', data: { value: 6 } })
	})

	it('shows a change that waits to get(), and to clients and subscribers only once it is committed', async () => {
		const { state, manager } = instance(new MemoryStateStore(), 0)
		await state.ready
		manager.sent.length = 0
		const seen: number[] = []
		state.subscribe((value) => seen.push(value))
		const done = state.set((value) => value + 1)
		expect(state.get()).toBe(1)
		expect(manager.sent).toEqual([])
		expect(seen).toEqual([])
		expect(await done).toBe(1)
		expect(seen).toEqual([1])
		expect(manager.sent).toEqual([{ event: 's', data: { value: 1 } }])
	})

	it('commits what came together at once, and tells each change its own value', async () => {
		const { state, network, manager } = instance(new MemoryStateStore(), 0)
		await state.ready
		manager.sent.length = 0
		const values = await Promise.all(Array.from({ length: 1000 }, () => state.set((value) => value + 1)))
		expect(values).toEqual(Array.from({ length: 1000 }, (_, n) => n + 1))
		expect(network.calls.get('commit')).toBe(1)
		expect(manager.sent).toHaveLength(1)
		expect(state.version).toBe(2)
	})

	it('loses no update of instances that change it at once', async () => {
		const store = new MemoryStateStore()
		const all = Array.from({ length: 5 }, () => instance(store, 0))
		await Promise.all(
			all.map(async ({ state }) => {
				for (let n = 0; n < 40; n++) await state.set((value) => value + 1)
			}),
		)
		await until(() => all.every(({ state }) => state.get() === 200))
		expect(JSON.parse(store.read('s')?.value ?? '')).toBe(200)
	})

	it('applies changes made before the first load on the stored value', async () => {
		const store = new MemoryStateStore()
		load(store, 's', '10')
		const { state, network } = instance(store, 0)
		network.away = true
		const done = state.set((value) => value + 1)
		expect(state.get()).toBe(1)
		network.reconnected()
		expect(await done).toBe(11)
	})

	it('gives own changes on top of what overtook them on their way', async () => {
		const store = new MemoryStateStore()
		const { state, network } = instance(store, 0)
		const other = instance(store, 0)
		await Promise.all([state.set((value) => value), other.state.ready])
		const commit = network.commit.bind(network)
		let go = (): void => {}
		const held = new Promise<void>((resolve) => {
			go = resolve
		})
		network.commit = async (...args) => {
			await held
			return commit(...args)
		}
		const done = state.set((value) => value + 1)
		await other.state.set(() => 100)
		await until(() => state.version === 2)
		expect(state.get()).toBe(101)
		const second = state.set((value) => value + 1)
		expect(state.get()).toBe(102)
		go()
		expect(await Promise.all([done, second])).toEqual([101, 102])
		expect(store.read('s')?.value).toBe('102')
	})

	it('tells what was loaded only to those who could not know it', async () => {
		const store = new MemoryStateStore()
		const same = instance(store, 0, { snapshot: false })
		const calls: number[] = []
		same.state.subscribe((value) => calls.push(value))
		await same.state.ready
		expect(calls).toEqual([])
		expect(same.manager.sent).toEqual([])
		const early = instance(store, 0)
		await early.state.ready
		expect(early.manager.sent).toEqual([{ event: 's', data: { value: 0 } }])
		const other = instance(store, 5, { snapshot: false })
		other.state.subscribe((value) => calls.push(value))
		await other.state.ready
		expect(calls).toEqual([0])
		expect(other.manager.sent).toEqual([{ event: 's', data: { value: 0 } }])
	})

	it('lets a function that throws change nothing and reject alone, also within a group', async () => {
		const { state, network, onError } = instance<number[]>(new MemoryStateStore(), [])
		await state.ready
		const error = new Error('no')
		const results = await Promise.allSettled([
			state.set((list) => [...list, 1]),
			state.set((list) => {
				list.push(9)
				throw error
			}),
			state.set((list) => {
				list.push(2)
				return list
			}),
		])
		expect(results).toEqual([
			{ status: 'fulfilled', value: [1] },
			{ status: 'rejected', reason: error },
			{ status: 'fulfilled', value: [1, 2] },
		])
		expect(network.calls.get('commit')).toBe(1)
		expect(onError).toHaveBeenCalledExactlyOnceWith(error)
		// @ts-expect-error a promise is not a value
		await expect(state.set(() => Promise.reject(error))).rejects.toBeInstanceOf(TypeError)
		// @ts-expect-error a promise is not a value
		await expect(state.set(async () => [])).rejects.toBeInstanceOf(TypeError)
	})

	it('decides an equal value, and a refusal, on the stored value and not on a stale one', async () => {
		const store = new MemoryStateStore()
		const a = instance(store, 5)
		const b = instance(store, 5)
		await Promise.all([a.state.ready, b.state.ready])
		// The comparison after the watch began: its answer would tell of the 7.
		await until(() => a.network.answered.get('read') === 1)
		a.network.faults.unheard = 1
		await b.state.set(() => 7)
		expect(a.state.get()).toBe(5)
		expect(await a.state.set(() => 5)).toBe(5)
		expect(JSON.parse(store.read('s')?.value ?? '')).toBe(5)
		await b.state.set(() => 1)
		const soldOut = (value: number): number => {
			if (value === 5) throw new Error('sold out')
			return value
		}
		expect(await a.state.set(soldOut)).toBe(1)
		expect(a.state.version).toBe(b.state.version)
	})

	it('writes nothing when the value stays equal', async () => {
		const store = new MemoryStateStore()
		const { state, network, manager } = instance(store, { n: 1 })
		await state.ready
		manager.sent.length = 0
		expect(await state.set(({ n }) => ({ n }))).toEqual({ n: 1 })
		await Promise.all([state.set(() => ({ n: 2 })), state.set(() => ({ n: 1 }))])
		expect(network.calls.get('commit')).toBeUndefined()
		expect(store.read('s')?.version).toBe(1)
		expect(manager.sent).toEqual([])
	})

	it('refuses what JSON would change or drop, and writes nothing', async () => {
		const store = new MemoryStateStore()
		const { state } = instance<unknown>(store, 0)
		const bad = [
			Number.NaN,
			Number.POSITIVE_INFINITY,
			undefined,
			1n,
			Symbol('s'),
			() => 1,
			new Date(),
			new Map(),
			new (class Point {})(),
			{ deep: [{ at: new Set() }] },
			[1, undefined],
			{ toJSON: () => 1 },
		]
		for (const value of bad) {
			await expect(state.set(() => value)).rejects.toMatchObject({ code: 'EV_INVALID_MESSAGE' })
		}
		expect(store.read('s')).toMatchObject({ version: 1, value: '0' })
		expect(await state.set(() => ({ kept: null, gone: undefined, zero: -0, ['__proto__']: 1 }))).toEqual(
			JSON.parse('{"kept":null,"zero":0,"__proto__":1}'),
		)
		for (const value of bad) {
			expect(() => instance<unknown>(store, value)).toThrow(
				expect.objectContaining({ code: 'EV_INVALID_MESSAGE' }),
			)
		}
	})

	it('says where the value is that it refuses', async () => {
		const { state } = instance<unknown>(new MemoryStateStore(), 0)
		await expect(state.set(() => ({ deep: [1, { at: new Set() }] }))).rejects.toThrow(
			'value.deep[1].at is an instance of Set, which JSON would change',
		)
		await expect(state.set(() => Number.NaN)).rejects.toThrow('value is NaN')
	})

	it('refuses the one change that makes the value too large', async () => {
		const store = new MemoryStateStore()
		const { state } = instance(store, '', { maxSize: 12 })
		const results = await Promise.allSettled([
			state.set((text) => `${text}12345`),
			state.set((text) => `${text}678901`),
			state.set((text) => `${text}67890`),
		])
		expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
		expect(store.read('s')?.value).toBe('"1234567890"')
		expect(() => instance(store, 'x'.repeat(11), { maxSize: 12 })).toThrow('12')
	})

	it('waits for the store, bounded, and then commits', async () => {
		const store = new MemoryStateStore()
		const { state, network } = instance(store, 0, { maxPending: 3 })
		await state.ready
		network.away = true
		const waiting = [1, 2, 3].map(() => state.set((value) => value + 1))
		await expect(state.set((value) => value + 1)).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		expect(state.get()).toBe(3)
		network.reconnected()
		expect(await Promise.all(waiting)).toEqual([1, 2, 3])
	})

	it('rejects a change that waited too long, and applies later ones without it', async () => {
		const store = new MemoryStateStore()
		const { state, network, onError } = instance(store, 0, { deadline: 40 })
		await state.ready
		network.away = true
		await expect(state.set((value) => value + 1)).rejects.toMatchObject({
			code: 'EV_UNAVAILABLE',
			cause: expect.objectContaining({ message: 'not sent' }),
		})
		expect(onError).toHaveBeenCalledWith(expect.objectContaining({ code: 'EV_UNAVAILABLE' }))
		expect(state.get()).toBe(0)
		network.reconnected()
		expect(await state.set((value) => value + 10)).toBe(10)
	})

	it('rejects at the deadline also when the store never answers', async () => {
		const { state, network } = instance(new MemoryStateStore(), 0, { deadline: 30 })
		await state.ready
		network.hangs = true
		await expect(state.set((value) => value + 1)).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		expect(state.get()).toBe(0)
	})

	it('gives up against faster instances only at the deadline', async () => {
		const store = new MemoryStateStore()
		const { state, network } = instance(store, 0, { deadline: 60 })
		await state.ready
		let rivals = 0
		const commit = network.commit.bind(network)
		network.commit = (name, expected, value, id) => {
			const now = store.read('s')
			if (now) store.commit('s', now, String(--rivals), { writer: 'rival', number: -rivals })
			return commit(name, expected, value, id)
		}
		await expect(state.set((value) => value + 1000)).rejects.toMatchObject({ code: 'EV_CONFLICT' })
		expect(rivals).toBeLessThan(-2)
		expect(Number(store.read('s')?.value)).toBeLessThan(0)
	})

	it('commits once what it had to send again because the answer was lost', async () => {
		const store = new MemoryStateStore()
		const { state, network } = instance(store, 0)
		const other = instance(store, 0)
		await Promise.all([state.set((value) => value), other.state.ready])
		network.faults.unanswered = 1
		network.faults.unheard = 1
		const done = state.set((value) => value + 1)
		await until(() => store.read('s')?.value === '1')
		await other.state.set((value) => value + 10)
		network.faults.unanswered = 0
		expect(await done).toBe(1)
		expect(state.get()).toBe(11)
		expect(store.read('s')?.value).toBe('11')
	})

	it('repairs a missed message after a reconnect, and at the next comparison', async () => {
		const store = new MemoryStateStore()
		const a = instance(store, 0, { checkInterval: 20 })
		const b = instance(store, 0)
		const c = instance(store, 0)
		await Promise.all([a.state.ready, b.state.ready, c.state.ready])
		a.network.faults.unheard = 1
		b.network.away = true
		await c.state.set(() => 1)
		await until(() => a.state.get() === 1)
		expect(b.state.get()).toBe(0)
		b.network.reconnected()
		await until(() => b.state.get() === 1)
		expect(b.manager.sent.at(-1)).toEqual({ event: 's', data: { value: 1 } })
	})

	it('puts the value back when the store lost it, from the highest version, and goes on', async () => {
		const a = instance(new MemoryStateStore(), 0)
		const empty = new MemoryStateStore()
		const b = instance(new MemoryStateStore(), 0)
		await Promise.all([a.state.ready, b.state.ready])
		for (let n = 0; n < 5; n++) await a.state.set((value) => value + 1)
		await b.state.set((value) => value + 1)
		for (const { network } of [a, b]) {
			Object.assign(network, {
				read: empty.read.bind(empty),
				commit: empty.commit.bind(empty),
				restore: empty.restore.bind(empty),
			})
			await network.watch('s', { changed: () => {}, missed: () => {} })
		}
		b.network.reconnected()
		await until(() => empty.read('s')?.version === 2)
		a.network.reconnected()
		await until(() => empty.read('s')?.version === 6)
		expect(empty.read('s')?.value).toBe('5')
		expect(await b.state.set((value) => value + 100)).toBe(105)
	})

	it('sends versions only in order, and its own only once', async () => {
		const store = new MemoryStateStore()
		const { state, manager } = instance(store, 0)
		const other = instance(store, 0)
		const versions: number[] = []
		state.subscribe((_, version) => versions.push(version))
		await Promise.all([state.ready, other.state.ready])
		manager.sent.length = 0
		await Promise.all(
			[state, other.state].map(async (one) => {
				for (let n = 0; n < 20; n++) await one.set((value) => value + 1)
			}),
		)
		await until(() => state.get() === 40)
		expect(versions).toEqual([...new Set(versions)].sort((x, y) => x - y))
		const values = manager.sent.map((message) => Number(/\d+/.exec(JSON.stringify(message))?.[0]))
		expect(values).toEqual([...new Set(values)].sort((x, y) => x - y))
		expect(values.at(-1)).toBe(40)
	})

	it('reports garbage and goes on', async () => {
		const store = new MemoryStateStore()
		load(store, 's', '{half')
		const { state, network, onError } = instance(store, 0)
		await until(() => onError.mock.calls.length > 0)
		expect(onError).toHaveBeenCalledWith(expect.objectContaining({ code: 'EV_UNAVAILABLE' }))
		expect(state.get()).toBe(0)
		remove(store, 's')
		load(store, 's', '3')
		network.reconnected()
		await state.ready
		expect(state.get()).toBe(3)
		onError.mockClear()
		store.restore('s', { version: 50, stamp: 'x.1', born: 'x.1', value: 'garbage' })
		await until(() => onError.mock.calls.length > 0)
		expect(state.get()).toBe(3)
		store.restore('s', { version: 51, stamp: 'x.2', born: 'x.1', value: '4' })
		await until(() => state.get() === 4)
	})

	it('closes when it was removed from the store', async () => {
		const store = new MemoryStateStore()
		const { state, manager } = instance(store, 0)
		await state.ready
		remove(store, 's')
		const late = state.set((value) => value + 1)
		await expect(late).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(state.closed).toBe(true)
		expect(manager.snapshots.size).toBe(0)
		expect(store.read('s')).toBeUndefined()
	})

	it('rejects what waits when it is closed, and ready if nothing was loaded', async () => {
		const { state, network } = instance(new MemoryStateStore(), 0)
		network.away = true
		const done = state.set((value) => value + 1)
		state.close()
		state.close()
		await expect(done).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await expect(state.ready).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await expect(state.set((value) => value)).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(state.get()).toBe(0)
	})
})

import { EvStreamManager } from '@evstream/core'
import { listenHttp, openSse } from '@evstream/testkit'
import { describe, expect, it, vi } from 'vitest'
import { EvState, type EvStateOptions } from '../src/index.js'
import { FakeManager } from './support.js'

function make<T>(initialValue: T, options: Partial<EvStateOptions<T>> = {}) {
	const manager = new FakeManager()
	const onError = vi.fn()
	const state = new EvState<T>({ channel: 'counter', initialValue, manager, onError, ...options })
	return { state, manager, onError }
}

describe('EvState in one process', () => {
	it('has applied and sent a change when set returns', async () => {
		const { state, manager } = make(0, { key: 'count' })
		const done = state.set((value) => value + 1)
		expect(state.get()).toBe(1)
		expect(state.version).toBe(2)
		expect(manager.sent).toEqual([{ event: 'counter', data: { count: 1 } }])
		expect(await done).toBe(1)
		await state.ready
	})

	it('gives newcomers the current value, unless told not to', () => {
		const { state, manager } = make({ n: 1 })
		expect(manager.snapshot('counter')).toEqual({ event: 'counter', data: { value: { n: 1 } } })
		state.set(({ n }) => ({ n: n + 1 }))
		expect(manager.snapshot('counter')).toEqual({ event: 'counter', data: { value: { n: 2 } } })
		const silent = make(1, { snapshot: false })
		expect(silent.manager.snapshots.get('counter')).toBeUndefined()
	})

	it('does nothing when the value stays equal', async () => {
		const { state, manager } = make({ list: [1, { a: 2 }] })
		expect(await state.set(() => ({ list: [1, { a: 2 }] }))).toEqual({ list: [1, { a: 2 }] })
		expect(state.version).toBe(1)
		expect(manager.sent).toEqual([])
		const parity = make(1, { equals: (a, b) => a % 2 === b % 2 })
		parity.state.set(() => 3)
		expect(parity.state.get()).toBe(1)
	})

	it('takes a copy that was changed and returned', () => {
		const { state, manager } = make<{ list: number[] }>({ list: [] })
		state.set((value) => {
			value.list.push(1)
			return value
		})
		expect(state.get()).toEqual({ list: [1] })
		expect(manager.sent).toHaveLength(1)
	})

	it('changes nothing when the function throws, whatever it did to its copy', async () => {
		const { state, manager, onError } = make<{ list: number[] }>({ list: [] })
		const error = new Error('no')
		const done = state.set((value) => {
			value.list.push(1)
			throw error
		})
		await expect(done).rejects.toBe(error)
		expect(state.get()).toEqual({ list: [] })
		expect(manager.sent).toEqual([])
		expect(onError).toHaveBeenCalledExactlyOnceWith(error)
	})

	it('is not changed through what it was given, nor through what it gave out', () => {
		const initial = { list: [1] }
		const { state, manager } = make(initial)
		initial.list.push(9)
		state.get().list.push(9)
		const kept: number[] = [2]
		state.set(() => ({ list: kept }))
		kept.push(9)
		state.set((value) => ({ list: [...value.list, 3] }))
		expect(state.get()).toEqual({ list: [2, 3] })
		expect(manager.sent.at(-1)).toEqual({ event: 'counter', data: { value: { list: [2, 3] } } })
	})

	it('copies dates, keeps undefined, and shares instances of classes', () => {
		const when = new Date(0)
		const { state } = make<{ when: Date; maybe?: string | undefined } | undefined>(undefined)
		state.set(() => ({ when, maybe: undefined }))
		when.setTime(1)
		expect(state.get()).toEqual({ when: new Date(0), maybe: undefined })
		class Point {
			constructor(readonly x: number) {}
		}
		const points = make<Point>(new Point(1))
		points.state.set((point) => new Point(point.x + 1))
		expect(points.state.get()).toBeInstanceOf(Point)
	})

	it('refuses what JSON cannot carry or is too large, and stays as it was', async () => {
		const { state, manager } = make<unknown>(0, { maxSize: 10 })
		const cyclic: Record<string, unknown> = {}
		Reflect.set(cyclic, 'self', cyclic)
		const map = new Map()
		map.set('self', map)
		for (const value of [1n, cyclic, map, { a: 1n }, 'x'.repeat(9), 'ééééé']) {
			await expect(state.set(() => value)).rejects.toMatchObject({ code: 'EV_INVALID_MESSAGE' })
		}
		await state.set(() => 'x'.repeat(8))
		expect(state.version).toBe(2)
		expect(manager.sent).toHaveLength(1)
		expect(() => make<unknown>(cyclic)).toThrow(expect.objectContaining({ code: 'EV_INVALID_MESSAGE' }))
	})

	it('refuses what JSON would change silently, with its path', async () => {
		const { state, manager } = make<unknown>(0)
		const bad: [value: unknown, path: string][] = [
			[{ at: [Number.NaN] }, '.at[0] is NaN'],
			[new Map(), ' is a Map'],
			[{ list: [{ tags: new Set([1]) }] }, '.list[0].tags is a Set'],
			[{ error: new Error('no') }, '.error is an Error'],
			[[undefined], '[0] is undefined'],
			[() => 1, ' is a function'],
			[Symbol('a'), ' is a symbol'],
		]
		for (const [value, path] of bad) {
			await expect(state.set(() => value)).rejects.toMatchObject({
				code: 'EV_INVALID_MESSAGE',
				message: expect.stringContaining(`The state "counter"${path}`),
			})
			expect(() => make<unknown>(value)).toThrow(path)
		}
		expect([state.get(), state.version, manager.sent]).toEqual([0, 1, []])
	})

	it('refuses asynchronous functions', async () => {
		const { state } = make<unknown>(0)
		await expect(state.set(async () => 1)).rejects.toBeInstanceOf(TypeError)
		await expect(state.set(() => Promise.reject(new Error('late')))).rejects.toBeInstanceOf(TypeError)
		expect(state.get()).toBe(0)
	})

	it('runs changes asked for within a change or a subscriber right after it, in order', () => {
		const { state, manager } = make<number[]>([])
		const seen: number[][] = []
		state.subscribe((value) => {
			seen.push(value)
			if (value.length === 2) state.set((list) => [...list, 3])
		})
		state.set((list) => {
			state.set((inner) => [...inner, 2])
			return [...list, 1]
		})
		expect(state.get()).toEqual([1, 2, 3])
		expect(seen).toEqual([[1], [1, 2], [1, 2, 3]])
		expect(manager.sent).toHaveLength(3)
	})

	it('tells subscribers until they unsubscribe, also when one of them throws', () => {
		const { state, onError } = make(0)
		const calls: [number, number][] = []
		const error = new Error('subscriber')
		state.subscribe(() => {
			throw error
		})
		const undo = state.subscribe((value, version) => calls.push([value, version]))
		state.set((value) => value + 1)
		undo()
		undo()
		state.set((value) => value + 1)
		expect(calls).toEqual([[1, 2]])
		expect(onError).toHaveBeenCalledWith(error)
	})

	it('takes nothing once it is closed, and gives the channel free', async () => {
		const { state, manager } = make(1)
		const listener = vi.fn()
		state.subscribe(listener)
		state.close()
		state.close()
		expect(state.closed).toBe(true)
		await expect(state.set((value) => value + 1)).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(state.get()).toBe(1)
		expect(listener).not.toHaveBeenCalled()
		new EvState({ channel: 'counter', initialValue: 5, manager })
		expect(manager.snapshot('counter')).toEqual({ event: 'counter', data: { value: 5 } })
	})

	it('refuses wrong options at once, and holds no channel then', () => {
		const manager = new FakeManager()
		const base = { channel: 'c', initialValue: 1, manager }
		expect(() => new EvState({ ...base, channel: 'a\nb' })).toThrow(
			expect.objectContaining({ code: 'EV_INVALID_MESSAGE' }),
		)
		expect(() => new EvState({ ...base, maxSize: 0 })).toThrow(RangeError)
		expect(() => new EvState({ ...base, deadline: 1e9 })).toThrow(RangeError)
		expect(() => new EvState({ ...base, initialValue: 1n })).toThrow(
			expect.objectContaining({ code: 'EV_INVALID_MESSAGE' }),
		)
		// @ts-expect-error a wrong type
		expect(() => new EvState({ ...base, manager: {} })).toThrow(TypeError)
		// @ts-expect-error a wrong type
		expect(() => new EvState({ ...base, adapter: {} })).toThrow(TypeError)
		// @ts-expect-error a wrong type
		expect(() => new EvState({ ...base, key: 1 })).toThrow(TypeError)
		new EvState(base)
		expect(() => new EvState(base)).toThrow('has a provider already')
	})

	it('reaches real clients: the value at once, then each change', async () => {
		const manager = new EvStreamManager()
		const state = new EvState({ channel: 'counter', initialValue: 1, manager, key: 'count' })
		const server = await listenHttp((req, res) => manager.createStream(req, res).listen('counter'))
		try {
			const client = await openSse(server.url)
			expect(await client.next()).toEqual({ event: 'counter', id: undefined, data: '{"count":1}' })
			state.set((value) => value + 1)
			expect((await client.next()).data).toBe('{"count":2}')
			state.close()
			expect(() => new EvState({ channel: 'counter', initialValue: 1, manager })).not.toThrow()
		} finally {
			await manager.close({ drainMs: 0 })
			await server.close()
		}
	})

	it('does 100,000 changes in a second with room to spare', () => {
		const { state } = make(0, { manager: { provide: () => ({ broadcast() {}, close() {} }) } })
		const start = performance.now()
		for (let n = 0; n < 100_000; n++) state.set((value) => value + 1)
		expect(state.get()).toBe(100_000)
		expect(performance.now() - start).toBeLessThan(1000)
	})
})

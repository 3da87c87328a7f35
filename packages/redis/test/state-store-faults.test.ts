import { randomUUID } from 'node:crypto'
import type { StoredState } from '@evstream/core'
import { RedisBus, type RedisSource } from '@evstream/pubsub'
import { startRedis, startTcpProxy, type TestRedis, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { RedisNames } from '../src/keys.js'
import { RedisStateStore } from '../src/redis-state-store.js'

let redis: TestRedis
beforeAll(async () => {
	redis = await startRedis()
})
afterAll(() => redis.stop())

const STATE: StoredState = { version: 3, stamp: 'w.3', born: 'w.1', value: '"kept"' }

function open(source: RedisSource, deadline = 5_000) {
	const names = new RedisNames(randomUUID(), '')
	const bus = new RedisBus(source, { name: names.tag, onError: () => {} })
	onTestFinished(() => bus.close())
	const errors: unknown[] = []
	const store = new RedisStateStore(bus, names, deadline, (error) => errors.push(error))
	return { bus, names, store, errors }
}

function lookInto(): Redis {
	const look = new Redis(redis.url)
	onTestFinished(() => look.disconnect())
	return look
}

const commit = (store: RedisStateStore, expected: StoredState, number = 1, within?: number) =>
	store.commit('n', expected, '"new"', { writer: 'other', number }, { within })

async function create(store: RedisStateStore, listed = false): Promise<StoredState> {
	const state = await store.create('n', '1', await store.look('n'), listed)
	if (!state) throw new Error('no state')
	return state
}

describe('a command of the state store that fails', () => {
	it('says that it was not sent while Redis is out of reach', async () => {
		const proxy = await startTcpProxy(redis)
		onTestFinished(() => proxy.close())
		proxy.refuse(true)
		const { store } = open(proxy.url(), 50)
		const failures = await Promise.allSettled([commit(store, STATE), create(store), store.read('n')])
		for (const failure of failures) {
			expect(failure).toMatchObject({ status: 'rejected', reason: { code: 'EV_UNAVAILABLE', sent: false } })
		}
	})

	it('says nothing of the kind when only the answer is missing', async () => {
		const proxy = await startTcpProxy(redis)
		onTestFinished(() => proxy.close())
		const { store, bus } = open(proxy.url(), 1_000)
		await create(store)
		await until(() => bus.healthy)
		proxy.blackhole(true)
		const error: unknown = await commit(store, STATE).catch((reason: unknown) => reason)
		expect(error).toMatchObject({ code: 'EV_UNAVAILABLE' })
		expect(error).not.toHaveProperty('sent', false)
	})

	it('takes no longer than its caller waits, nor than its own deadline', async () => {
		const { store } = open({ host: '127.0.0.1', port: 1 }, 60)
		const times: number[] = []
		for (const within of [20, 60_000]) {
			const start = performance.now()
			await expect(commit(store, STATE, 1, within)).rejects.toThrow(`within ${Math.min(within, 60)} ms`)
			times.push(performance.now() - start)
		}
		expect(times[0]).toBeLessThan(5_000)
		expect(times[1]).toBeLessThan(5_000)
	})

	it('says that the adapter is closed once it is', async () => {
		const { store, bus } = open(redis.url)
		await bus.close()
		await expect(commit(store, STATE)).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await expect(store.watch('n', { changed() {}, missed() {} })).rejects.toMatchObject({ code: 'EV_CLOSED' })
	})
})

describe('the memory of operations', () => {
	it('lasts 15 minutes, or as long as its caller may ask', async () => {
		const { store, names } = open(redis.url)
		const look = lookInto()
		const first = await create(store)
		const { state } = await store.commit('n', first, '2', { writer: 'a', number: 1 })
		if (!state) throw new Error('no state')
		await store.commit('n', state, '3', { writer: 'b', number: 1 }, { remember: 1_200_000 })
		expect(await look.ttl(names.operation('a'))).toBeGreaterThan(890)
		expect(await look.ttl(names.operation('a'))).toBeLessThanOrEqual(900)
		expect(await look.ttl(names.operation('b'))).toBeGreaterThan(1_190)
	})
})

describe('a state that was put back after a loss', () => {
	it('takes no changes until every instance had time to put back a newer one', async () => {
		const { store, names } = open(redis.url)
		const look = lookInto()
		expect(await store.restore('n', STATE)).toEqual(STATE)
		const refused: unknown = await commit(store, STATE).catch((error: unknown) => error)
		expect(refused).toMatchObject({ code: 'EV_UNAVAILABLE', sent: false })
		// A newer version is put back all the same, and the time begins again.
		await look.pexpire(names.settling('n'), 60_000)
		const newer = { ...STATE, version: 5, stamp: 'w.5' }
		expect(await store.restore('n', newer)).toEqual(newer)
		const left = await look.pttl(names.settling('n'))
		expect(left).toBeGreaterThan(0)
		expect(left).toBeLessThanOrEqual(2_500)
		await look.del(names.settling('n'))
		expect(await commit(store, newer)).toMatchObject({
			committed: true,
			state: { version: 6, value: '"new"' },
		})
	})

	it('keeps nobody from changing it if there was nothing to put back', async () => {
		const { store, names } = open(redis.url)
		const look = lookInto()
		const now = await create(store)
		expect(await store.restore('n', { ...now, stamp: 'w.1', value: '2' })).toEqual(now)
		expect(await look.exists(names.settling('n'))).toBe(0)
		expect(await commit(store, now)).toMatchObject({ committed: true })
	})
})

describe('a watcher of the state store', () => {
	it('hears what was published, and nothing after its undo', async () => {
		const { store, bus, errors, names } = open(redis.url)
		const look = lookInto()
		const heard: string[] = []
		const watcher = {
			changed: ({ version }: StoredState) => void heard.push(`version ${version}`),
			missed: () => void heard.push('missed'),
		}
		const undo = await store.watch('n', watcher)
		const stays = await store.watch('n', { changed() {}, missed() {} })
		const list: string[] = []
		const undoList = await store.watchList({ changed: () => void list.push('list'), missed() {} })
		await store.remove('n', await create(store, true))
		await until(() => heard.length === 2 && list.length === 2)
		expect(heard).toEqual(['version 1', 'missed'])
		undo()
		undo()
		undoList()
		expect(bus.stats().channels).toBe(1)
		await create(store)
		await look.publish(names.stateChannel('n'), 'garbage')
		await until(() => errors.length === 1)
		expect(heard).toHaveLength(2)
		stays()
		expect(bus.stats().channels).toBe(0)
	})

	it('is told after a reconnect that it may have missed something, and nothing after its undo', async () => {
		const proxy = await startTcpProxy(redis)
		onTestFinished(() => proxy.close())
		const { store, bus } = open(proxy.url())
		const missed: string[] = []
		const undo = await store.watch('n', { changed() {}, missed: () => void missed.push('undone') })
		await store.watch('n', { changed() {}, missed: () => void missed.push('state') })
		await store.watchList({ changed() {}, missed: () => void missed.push('list') })
		undo()
		const restored = new Promise<void>((resolve) => bus.onRestored(resolve))
		proxy.cut()
		await restored
		expect(missed).toEqual(['state', 'list'])
	})
})

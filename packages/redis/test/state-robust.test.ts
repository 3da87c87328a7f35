import { randomUUID } from 'node:crypto'
import { RedisBus, type RedisSource } from '@evstream/pubsub'
import { redisLacks, startRedis, startTcpProxy, type TestRedis, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { RedisNames } from '../src/keys.js'
import { RedisStateStore } from '../src/redis-state-store.js'
import { Instance, Opened } from './instance.js'

const noAcl = redisLacks('control', 'the documented ACL, and a Redis that is full')
let redis: TestRedis
let direct: Redis
const opened = new Opened()
beforeAll(async () => {
	redis = await startRedis()
	direct = new Redis(redis.url)
})
afterEach(() => opened.close())
afterAll(async () => {
	direct.disconnect()
	await redis.stop()
})

function open(source: RedisSource = redis.url) {
	const names = new RedisNames(randomUUID(), '')
	const bus = new RedisBus(source, { name: names.tag, onError: () => {} })
	onTestFinished(() => bus.close())
	return { names, bus, store: new RedisStateStore(bus, names, 5_000, () => {}) }
}

describe.skipIf(noAcl)('a Redis that is full', () => {
	it('lets states be loaded and removed, and keeps what was removed', async () => {
		const { store, names } = open()
		const place = await store.look('n')
		const state = await store.create('n', '1', place, true)
		if (!state) throw new Error('no state')
		await direct.config('SET', 'maxmemory', '1mb')
		try {
			await expect(store.commit('n', state, '2', { writer: 'w', number: 1 })).rejects.toThrow('OOM')
			expect((await store.look('n')).state).toEqual(state)
			expect(await store.read('n')).toEqual(state)
			await store.remove('n', state)
			expect(await direct.exists(names.state('n'))).toBe(0)
			expect(await direct.get(names.tombstone('n'))).toBe(`1 ${state.born}`)
			expect((await store.list())?.states).toEqual([])
		} finally {
			await direct.config('SET', 'maxmemory', '0')
		}
		expect(await store.create('n', '1', place, true)).toBeUndefined()
	})
})

describe('a key that holds something else', () => {
	it.each([
		['another type', (key: string) => direct.set(key, 'foreign')],
		['other fields', (key: string) => direct.hset(key, { v: 'many', s: 'x', d: '1' })],
	])('(%s) is seen, not overwritten, and removed', async (_, spoil) => {
		const { store, names } = open()
		await spoil(names.state('n'))
		const place = await store.look('n')
		expect(place).toMatchObject({ state: undefined, spoilt: true, removed: false })
		await expect(store.create('n', '1', place, true)).rejects.toMatchObject({
			code: 'EV_UNAVAILABLE',
			message: expect.stringContaining('"n" holds something else'),
		})
		await expect(store.read('n')).rejects.toThrow('"n" holds something else')
		await store.remove('n', { born: '', version: place.next })
		expect(await direct.exists(names.state('n'))).toBe(0)
		expect((await store.create('n', '1', await store.look('n'), true))?.version).toBe(2)
	})
})

describe('a key beside the state that holds something else', () => {
	it.each(['tombstone', 'list', 'listChange'] as const)(
		'(the %s) is named, and leaves a state that is removed whole',
		async (which) => {
			const { store, names } = open()
			const state = await store.create('n', '1', await store.look('n'), true)
			if (!state) throw new Error('no state')
			const key = which === 'tombstone' ? names.tombstone('n') : names[which]
			const list = await direct.hgetall(names.list)
			await direct.del(key)
			await direct.lpush(key, 'foreign')
			await expect(store.remove('n', state)).rejects.toThrow(`key "${key}" holds something else`)
			expect(await store.read('n')).toEqual(state)
			if (which !== 'list') expect(await direct.hgetall(names.list)).toEqual(list)
			await direct.del(key)
			await store.remove('n', state)
			expect(await store.read('n')).toBeUndefined()
			expect((await store.look('n')).removed).toBe(true)
		},
	)
})

describe('a user who may not write a value any more', () => {
	it.skipIf(noAcl)('loses no change: it is not remembered, and is repeated once it may', async () => {
		const user = `u${randomUUID()}`
		await direct.call('ACL', 'SETUSER', user, 'reset', 'on', '>secret', '~*', '&*', '+@all')
		const { host, port } = redis
		const { store } = open({ host, port, username: user, password: 'secret' })
		const state = await store.create('n', '1', await store.look('n'), false)
		if (!state) throw new Error('no state')
		const commit = () => store.commit('n', state, '2', { writer: 'w', number: 1 })
		await direct.call('ACL', 'SETUSER', user, '-hset')
		await expect(commit()).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		await expect(commit()).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		expect(await store.read('n')).toEqual(state)
		await direct.call('ACL', 'SETUSER', user, '+hset')
		expect(await commit()).toMatchObject({ committed: true, state: { version: 2, value: '2' } })
		expect(await store.read('n')).toMatchObject({ version: 2, value: '2' })
		await direct.call('ACL', 'DELUSER', user)
	})
})

describe('a creation that comes late', () => {
	it('lists no other incarnation than the one that was seen', async () => {
		const { store } = open()
		const place = await store.look('n')
		const listed = await store.create('n', '1', place, true)
		if (!listed) throw new Error('no state')
		await store.remove('n', listed)
		const plain = await store.create('n', '2', await store.look('n'), false)
		expect(await store.create('n', '1', place, true)).toEqual(plain)
		expect((await store.list())?.states).toEqual([])
		await store.create('n', '1', await store.look('n'), true)
		expect((await store.list())?.states).toEqual([{ name: 'n', initial: '1' }])
	})

	it('decides again after an hour on a client with stringNumbers', async () => {
		const client = new Redis(redis.url, { stringNumbers: true })
		onTestFinished(() => client.disconnect())
		const { store } = open(client)
		const fresh = await store.look('n')
		const old = { ...fresh, seen: String(Number(fresh.seen) - 2 * 3_600_000) }
		expect(await store.create('n', '1', old, false)).toMatchObject({ version: 1, value: '1' })
	})
})

describe('a state of an earlier release', () => {
	it('has no incarnation, is changed, and is removed', async () => {
		const { store, names } = open()
		await direct.hset(names.state('n'), { v: '3', s: 'old.3', d: '7' })
		const state = await store.read('n')
		expect(state).toEqual({ version: 3, stamp: 'old.3', born: '-', value: '7' })
		if (!state) throw new Error('no state')
		const next = await store.commit('n', state, '8', { writer: 'w', number: 1 })
		expect(next.state).toMatchObject({ version: 4, born: '-', value: '8' })
		await store.remove('n', state)
		expect(await store.read('n')).toBeUndefined()
		await direct.set(names.tombstone('old'), '9')
		expect((await store.create('old', '1', await store.look('old'), false))?.version).toBe(10)
	})
})

describe('a look that is older than an hour', () => {
	it('still says what was removed since, and does nothing for a late copy', async () => {
		const { store, names } = open()
		const fresh = await store.look('n')
		const old = { ...fresh, seen: String(Number(fresh.seen) - 2 * 3_600_000) }
		const state = await store.create('n', '1', old, true)
		expect(state).toMatchObject({ version: 1, value: '1' })
		if (!state) throw new Error('no state')
		await store.remove('n', state)
		expect(await store.create('n', '1', old, true)).toBeUndefined()
		// A copy of the script itself, after the tombstone has expired.
		await direct.del(names.tombstone('n'))
		const keys = [names.state('n'), names.tombstone('n'), names.list, names.listChange]
		const { CREATE_STATE } = await import('../src/state-scripts.js')
		const copy = ['1', 'late.1', 'c', '1', old.seen, 3_600_000, '1', 'n', 'l', 'x']
		expect(await direct.eval(CREATE_STATE.lua, keys.length, ...keys, ...copy)).toEqual([-1])
		expect(await direct.exists(names.state('n'))).toBe(0)
	})
})

describe('a removal whose answer was lost', () => {
	it('spares what another instance created since, however late it is repeated', async () => {
		const namespace = randomUUID()
		const proxy = await startTcpProxy(redis)
		onTestFinished(() => proxy.close())
		const a = new Instance(opened, proxy.url(), { namespace, deadline: 500 })
		const b = new Instance(opened, redis.url, { namespace })
		const [onA, onB] = [a.states<{ room: number }>(), b.states<{ room: number }>()]
		await onA.createState('room', 0).ready
		await until(() => onB.hasState('room'))
		proxy.blackhole(true)
		onA.removeState('room')
		// It was sent before, and took effect.
		const key = `{${namespace}}:state:room`
		const born = await direct.hget(key, 'b')
		const names = new RedisNames(namespace, '')
		const { store } = open()
		const other = new RedisStateStore(
			opened.add(new RedisBus(redis.url), (bus) => bus.close()),
			names,
			5_000,
			() => {},
		)
		expect(store).not.toBe(other)
		await other.remove('room', { born: born ?? '', version: 1 })
		await until(() => !onB.hasState('room'))
		const room = onB.createState('room', 100)
		await room.set((value) => value + 100)
		for (const done of await direct.keys(`{${namespace}}:done:*`)) await direct.del(done)
		proxy.blackhole(false)
		proxy.cut()
		await until(() => onA.getState('room')?.get() === 200, { timeout: 15_000 })
		expect(await direct.hget(key, 'd')).toBe('200')
		expect(room.closed).toBe(false)
	}, 30_000)
})

describe('an adapter that is closed', () => {
	it('refuses at once, also what waits for the next try', async () => {
		const one = new Instance(
			opened,
			{ host: '127.0.0.1', port: 1 },
			{ namespace: randomUUID(), deadline: 60 },
		)
		const state = one.state('n', 0)
		const waiting = state.set((value) => value + 1)
		await until(() => one.errors.length > 0)
		const begun = performance.now()
		void one.adapter.close()
		await expect(waiting).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await expect(one.adapter.states.read('n')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await expect(one.adapter.states.watch('n', { changed() {}, missed() {} })).rejects.toMatchObject({
			code: 'EV_CLOSED',
		})
		expect(performance.now() - begun).toBeLessThan(1_000)
	})
})

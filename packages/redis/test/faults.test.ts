import { randomUUID } from 'node:crypto'
import {
	redisLacks,
	startRedis,
	startTcpProxy,
	type TcpProxy,
	type TestRedis,
	until,
} from '@evstream/testkit'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Instance, Opened, values } from './instance.js'

describe.skipIf(redisLacks('control', 'states when Redis fails'))('States when Redis fails', () => {
	let redis: TestRedis
	let direct: Redis
	let proxy: TcpProxy
	let namespace: string
	let opened: Opened
	/** Behind the proxy, and not. */
	let cut: Instance
	let safe: Instance

	beforeAll(async () => {
		redis = await startRedis()
		direct = new Redis(redis.url, { maxRetriesPerRequest: null })
		direct.on('error', () => {})
	})

	beforeEach(async () => {
		opened = new Opened()
		namespace = randomUUID()
		proxy = opened.add(await startTcpProxy(redis), (it) => it.close())
		cut = new Instance(opened, proxy.url(), { namespace })
		safe = new Instance(opened, redis.url, { namespace })
	})

	afterEach(() => opened.close())

	afterAll(async () => {
		direct.disconnect()
		await redis.stop()
	})

	it('starts without Redis, and catches up when it appears', async () => {
		await safe.state('n', 0).set(() => 10)
		proxy.refuse(true)
		proxy.cut()
		const state = cut.state('n', 1)
		expect(state.get()).toBe(1)
		expect(state.version).toBe(0)
		const client = await cut.client('n')
		const done = state.set((value) => value + 1)
		expect(state.get()).toBe(2)
		await until(() => cut.errors.length > 0)
		expect(cut.adapter.healthy).toBe(false)
		proxy.refuse(false)
		await state.ready
		expect(await done).toBe(11)
		await until(() => values(client).at(-1) === 11)
		expect(values(client)).not.toContain(1)
		await until(() => cut.adapter.healthy)
	})

	it('reads while Redis is away; changes wait and then commit, or are rejected at their deadline', async () => {
		const patient = cut.state('n', 0)
		const client = opened.add(new Redis(proxy.url(), { maxRetriesPerRequest: null }), (it) => it.disconnect())
		const hasty = new Instance(opened, client, { namespace }).state('h', 0, { deadline: 150 })
		const other = safe.state('n', 0)
		await Promise.all([patient.set(() => 1), hasty.ready, other.ready])
		proxy.refuse(true)
		proxy.cut()
		const waiting = [patient.set((value) => value + 1), patient.set((value) => value + 1)]
		expect(patient.get()).toBe(3)
		// What was sent before the connection is known to be lost may still take effect; what comes later must not.
		await until(() => client.status !== 'ready')
		const expired = hasty.set((value) => value + 1)
		await expect(expired).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		expect(hasty.get()).toBe(0)
		await other.set((value) => value + 100)
		proxy.refuse(false)
		expect(await Promise.all(waiting)).toEqual([102, 103])
		await until(() => other.get() === 103)
		await until(() => client.status === 'ready')
		expect(await hasty.set((value) => value + 5)).toBe(5)
	})

	it('rejects nothing and counts exactly while its connections are cut again and again', async () => {
		const states = [cut.state('n', 0), cut.state('m', 0), safe.state('n', 0)]
		const [n, m, other] = states
		await Promise.all(states.map((state) => state.ready))
		const lanes = states.map(async (state) => {
			for (let count = 0; count < 300; count++) {
				await state.set((value) => value + 1)
				if (state === m && count % 60 === 30) proxy.cut()
			}
		})
		await Promise.all(lanes)
		await until(() => n?.get() === 600 && other?.get() === 600 && m?.get() === 300)
	})

	it('repairs a change that was never published within one check interval', async () => {
		const state = safe.state('n', 0, { checkInterval: 100 })
		const client = await safe.client('n')
		await state.ready
		await direct.hset(`{${namespace}}:state:n`, { v: 7, s: 'other.7', d: '70' })
		const start = performance.now()
		await until(() => state.get() === 70)
		expect(performance.now() - start).toBeLessThan(400)
		await until(() => values(client).at(-1) === 70)
	})

	it('replaces connections that only look alive within 10 s, and loses nothing', async () => {
		const [onCut, onSafe] = [cut.state('n', 0), safe.state('n', 0)]
		await Promise.all([onCut.ready, onSafe.ready])
		await until(() => cut.adapter.healthy && cut.adapter.stats().channels === 1)
		proxy.freeze()
		const start = performance.now()
		const done = onCut.set((value) => value + 1)
		await onSafe.set((value) => value + 10)
		expect(await done).toBe(11)
		await until(() => onCut.get() === 11 && onSafe.get() === 11 && cut.adapter.healthy, { timeout: 10_000 })
		expect(performance.now() - start).toBeLessThan(10_000)
	})

	it('waits through a black hole without a rejection', async () => {
		const [onCut, onSafe] = [cut.state('n', 0), safe.state('n', 0)]
		await Promise.all([onCut.ready, onSafe.ready])
		proxy.blackhole(true)
		const done = Promise.all(Array.from({ length: 50 }, () => onCut.set((value) => value + 1)))
		await Promise.all(Array.from({ length: 50 }, () => onSafe.set((value) => value + 1)))
		await until(() => !cut.adapter.healthy, { timeout: 10_000 })
		proxy.blackhole(false)
		await done
		await until(() => onCut.get() === 100 && onSafe.get() === 100, { timeout: 10_000 })
		expect(await direct.hget(`{${namespace}}:state:n`, 'd')).toBe('100')
	}, 30_000)

	it('puts back what Redis lost in a restart, from the highest version, and goes on counting', async () => {
		const [a, b] = [safe.state('n', 0), cut.state('n', 0)]
		const lists = [safe.states<{ k: string }>(), cut.states<{ k: string }>()]
		await Promise.all([a.ready, b.ready])
		await lists[0]?.createState('k', 'x').set(() => 'kept')
		await until(() => lists[1]?.getState('k')?.get() === 'kept')
		for (let n = 0; n < 5; n++) await a.set((value) => value + 1)
		await until(() => b.get() === 5)
		proxy.refuse(true)
		proxy.cut()
		for (let n = 0; n < 5; n++) await a.set((value) => value + 1)
		expect(b.get()).toBe(5)
		const version = a.version
		await redis.restart()
		proxy.refuse(false)
		const done = Promise.all([a.set((value) => value + 1), b.set((value) => value + 1)])
		await done
		await until(() => a.get() === 12 && b.get() === 12, { what: 'all changes' })
		expect(a.version).toBeGreaterThan(version)
		await until(async () => (await direct.hget(`{${namespace}}:state:k`, 'd')) === '"kept"')
		await until(async () => (await direct.hkeys(`{${namespace}}:states`)).join() === 'k')
		expect(lists.every((list) => list.hasState('k'))).toBe(true)
	})

	it('lets an instance that was cut off during a removal end with the same set', async () => {
		const [onCut, onSafe] = [cut.states<Record<string, number>>(), safe.states<Record<string, number>>()]
		onSafe.createState('gone', 1)
		onSafe.createState('stays', 1)
		await until(() => onCut.hasState('gone') && onCut.hasState('stays'))
		const zombie = onCut.getState('gone')
		await zombie?.ready
		proxy.refuse(true)
		proxy.cut()
		onSafe.removeState('gone')
		onSafe.createState('new', 1)
		onCut.createState('made', 1)
		const late = zombie?.set((value) => value + 1)
		late?.catch(() => {})
		await until(async () => (await direct.hkeys(`{${namespace}}:states`)).sort().join() === 'new,stays')
		proxy.refuse(false)
		await until(() => !onCut.hasState('gone') && onCut.hasState('new') && onSafe.hasState('made'))
		await expect(late).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(await direct.exists(`{${namespace}}:state:gone`)).toBe(0)
		expect(onCut.hasState('made')).toBe(true)
	})

	it('gives a slow client the newest value, and not all those before', async () => {
		const state = safe.state('n', { n: 0, pad: '' })
		await state.ready
		const client = await safe.client('n')
		await client.next('n')
		client.pause()
		const pad = 'x'.repeat(100_000)
		for (let n = 1; n <= 200; n++) await state.set(() => ({ n, pad }))
		client.resume()
		const last = await client.next(({ data }) => data.startsWith('{"value":{"n":200,'), 10_000)
		expect(last.event).toBe('n')
		expect(client.events.length).toBeLessThan(150)
	})
})

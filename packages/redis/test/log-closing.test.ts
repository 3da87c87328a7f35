import { randomUUID } from 'node:crypto'
import { startRedis, type TestRedis, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { EvRedisAdapter } from '../src/index.js'

let redis: TestRedis
beforeAll(async () => {
	redis = await startRedis()
})
afterAll(() => redis.stop())

function setUp() {
	const client = new Redis(redis.url, { maxRetriesPerRequest: null })
	onTestFinished(() => client.disconnect())
	const adapter = new EvRedisAdapter(client, { namespace: randomUUID(), onError: () => {} })
	onTestFinished(() => adapter.close())
	const before = client.listenerCount('ready')
	const errors: unknown[] = []
	const delivered: string[] = []
	const log = adapter.openLog(
		{
			deliver: ({ payload }) => delivered.push(payload),
			reset() {},
			direct() {},
			error: (error) => errors.push(error),
		},
		{ instance: 'i-', resumable: true, retention: () => ({ size: 10, ttl: 60_000 }) },
	)
	return { client, adapter, log, errors, delivered, listeners: () => client.listenerCount('ready') - before }
}

describe('a log that is closed', () => {
	it('leaves no channel subscribed, and no listener on a client that it shares', async () => {
		const { adapter, log, errors, listeners } = setUp()
		await log.subscribe('a')
		await log.subscribe('b')
		expect(adapter.stats().channels).toBe(3)
		expect(listeners()).toBe(0)
		log.close()
		log.close()
		expect(listeners()).toBe(0)
		await until(() => adapter.stats().channels === 0)
		expect(errors).toEqual([])
	})

	it('publishes what waits, refuses what comes, and lets go of a channel that it was subscribing', async () => {
		const { client, adapter, log, errors } = setUp()
		await log.subscribe('a')
		client.disconnect(true)
		await until(() => client.status !== 'ready')
		const sent = log.append('a', 'data:1\n\n')
		const refused = expect(Promise.resolve(log.subscribe('b'))).rejects.toMatchObject({ code: 'EV_CLOSED' })
		const closed = log.close()
		await refused
		expect(await sent).toMatchObject({ seq: 1 })
		await closed
		await expect(Promise.resolve(log.subscribe('c'))).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await expect(Promise.resolve(log.append('c', 'data:1\n\n'))).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await until(() => adapter.stats().channels === 0)
		expect(errors).toEqual([])
	})

	it('before its own channel was subscribed lets go of that too, and tells nobody', async () => {
		const { adapter, log, errors } = setUp()
		log.close()
		await until(() => adapter.healthy)
		await until(() => adapter.stats().channels === 0)
		await adapter.close()
		expect(errors).toEqual([])
	})
})

describe('a channel that is given up', () => {
	it('before it was confirmed is refused, and delivers nothing', async () => {
		const { adapter, log, delivered } = setUp()
		await log.subscribe('b')
		const early = expect(Promise.resolve(log.subscribe('a'))).rejects.toMatchObject({ code: 'EV_CLOSED' })
		log.unsubscribe('a')
		await early
		await until(() => adapter.stats().channels === 2)
		await log.append('a', 'data:1\n\n')
		await log.append('b', 'data:2\n\n')
		await until(() => delivered.length > 0)
		expect(delivered).toEqual(['data:2\n\n'])
	})
})

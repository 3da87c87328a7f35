import { randomUUID } from 'node:crypto'
import { startRedis, startTcpProxy, type TestRedis, until } from '@evstream/testkit'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { EvRedisAdapter } from '../src/index.js'

let redis: TestRedis
beforeAll(async () => {
	redis = await startRedis()
})
afterAll(() => redis.stop())

const receiver = { deliver() {}, reset() {}, direct() {}, error() {} }
const options = { instance: 'i-', resumable: true, retention: () => ({ size: 10, ttl: 60_000 }) }

describe('EvRedisAdapter', () => {
	it('counts over its open logs, and forgets one that was closed', async () => {
		const adapter = new EvRedisAdapter(redis.url, { namespace: randomUUID() })
		onTestFinished(() => adapter.close())
		const logs = [adapter.openLog(receiver, options), adapter.openLog(receiver, options)]
		for (const log of logs) {
			await log.subscribe('a')
			await log.append('a', 'data:1\n\n')
		}
		expect(adapter.stats()).toMatchObject({ published: 2, outbox: 0, resets: 0, repairedHoles: 0 })
		logs[0]?.close()
		logs[0]?.close()
		expect(adapter.stats()).toMatchObject({ published: 1 })
		logs[1]?.close()
		expect(adapter.stats()).toMatchObject({ published: 0, received: 0 })
		await until(() => adapter.stats().channels === 0)
	})

	it('refuses a namespace before it connects', async () => {
		const proxy = await startTcpProxy(redis)
		onTestFinished(() => proxy.close())
		expect(() => new EvRedisAdapter(proxy.url(), { namespace: 'a b' })).toThrow(TypeError)
		const adapter = new EvRedisAdapter(proxy.url(), { namespace: randomUUID() })
		onTestFinished(() => adapter.close())
		expect(await adapter.states.read('n')).toBeUndefined()
		expect(proxy.connections).toBe(1)
	})
})

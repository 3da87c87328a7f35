import { startRedis, type TestRedis } from '@evstream/testkit'
import { EvStreamManager } from 'evstream'
import { EvRedisAdapter } from 'evstream/adapter/redis'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { DemoChannels } from '../src/channels.js'
import { countViewers } from '../src/viewers.js'

let redis: TestRedis

beforeAll(async () => {
	redis = await startRedis()
})
afterAll(() => redis?.stop())

it('an instance that fell silent is not counted for ever', async () => {
	const start = (instance: string, beat: number) => {
		const adapter = new EvRedisAdapter(redis.url, { namespace: 'demo-viewers' })
		const manager = new EvStreamManager<DemoChannels>()
		const viewers = countViewers({ manager, adapter, instance, beat })
		const close = async () => {
			await viewers.close()
			await adapter.close()
		}
		return { viewers, close }
	}
	const alive = start('alive', 300)
	const silent = start('silent', 60_000)
	try {
		alive.viewers.enter()
		silent.viewers.enter()
		silent.viewers.enter()
		const both = { alive: { streams: 1 }, silent: { streams: 2 } }
		await vi.waitFor(() => expect(alive.viewers.all()).toMatchObject(both))
		const one = { alive: { streams: 1, at: expect.any(Number) } }
		await vi.waitFor(() => expect(alive.viewers.all()).toEqual(one), 5_000)
	} finally {
		await silent.close()
		await alive.close()
	}
})

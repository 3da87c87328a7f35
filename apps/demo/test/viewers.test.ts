import { startRedis, type TestRedis } from '@evstream/testkit'
import { EvRedisAdapter, EvStreamManager } from 'evstream'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { DemoChannels } from '../src/channels.js'
import { countViewers } from '../src/viewers.js'

let redis: TestRedis

beforeAll(async () => {
	redis = await startRedis()
})
afterAll(() => redis?.stop())

it('an instance that died without a word is not counted for ever', async () => {
	const start = (instance: string) => {
		const adapter = new EvRedisAdapter(redis.url, { namespace: 'demo-viewers' })
		const manager = new EvStreamManager<DemoChannels>()
		const viewers = countViewers({ manager, adapter, instance, beat: 50 })
		return { viewers, adapter, manager }
	}
	const alive = start('alive')
	const dead = start('dead')
	try {
		alive.viewers.enter()
		dead.viewers.enter()
		dead.viewers.enter()
		await vi.waitFor(() =>
			expect(alive.viewers.all()).toMatchObject({ alive: { streams: 1 }, dead: { streams: 2 } }),
		)

		// As good as dead: it says nothing any more, and takes nothing back.
		await dead.adapter.close()
		await vi.waitFor(() =>
			expect(alive.viewers.all()).toEqual({ alive: { streams: 1, at: expect.any(Number) } }),
		)
	} finally {
		await alive.viewers.close()
		await alive.adapter.close()
	}
})

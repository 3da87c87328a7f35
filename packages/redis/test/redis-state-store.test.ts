import { randomUUID } from 'node:crypto'
import { stateStoreContract } from '@evstream/core/contract'
import { RedisBus } from '@evstream/pubsub'
import { startRedis, type TestRedis } from '@evstream/testkit'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { RedisNames } from '../src/keys.js'
import { RedisStateStore } from '../src/redis-state-store.js'

let redis: TestRedis

beforeAll(async () => {
	redis = await startRedis()
})

afterAll(() => redis.stop())

for (const keyPrefix of ['', 'app:']) {
	stateStoreContract(
		keyPrefix === '' ? 'Redis' : 'Redis with a keyPrefix',
		async () => {
			const namespace = randomUUID()
			const buses = [0, 1].map(
				() => new RedisBus({ host: redis.host, port: redis.port, keyPrefix }, { name: `{${namespace}}` }),
			)
			const [store, second] = buses.map(
				(bus) =>
					new RedisStateStore(bus, new RedisNames(namespace, keyPrefix), 5000, (error) => {
						throw error
					}),
			)
			if (!store || !second) throw new Error('two stores')
			return { store, second, close: async () => void (await Promise.all(buses.map((bus) => bus.close()))) }
		},
		{ describe, it },
	)
}

import { randomUUID } from 'node:crypto'
import { channelLogContract } from '@evstream/core/contract'
import { startRedis, type TestRedis } from '@evstream/testkit'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { EvRedisAdapter } from '../src/index.js'
import { RedisLog } from '../src/redis-log.js'

let redis: TestRedis

beforeAll(async () => {
	redis = await startRedis()
})

afterAll(() => redis.stop())

for (const keyPrefix of ['', 'app:']) {
	channelLogContract(
		keyPrefix === '' ? 'Redis' : 'Redis with a keyPrefix',
		async () => {
			const namespace = randomUUID()
			const adapters: EvRedisAdapter[] = []
			return {
				open(receiver, options) {
					// The embedded server takes seconds for thousands of messages, on a busy machine many of them.
					const adapter = new EvRedisAdapter(
						{ host: redis.host, port: redis.port, keyPrefix },
						{ namespace, deadline: 20_000 },
					)
					adapters.push(adapter)
					return adapter.openLog(receiver, options)
				},
				async verify(log) {
					if (log instanceof RedisLog) await log.verify()
				},
				async close() {
					for (const adapter of adapters) await adapter.close()
				},
			}
		},
		{ shared: true },
		{ describe, it },
	)
}

/** From one process to another through Redis, with history: against a plain PUBLISH, which keeps nothing. */
import { RedisLab } from '../redis/lab.js'
import { noRedis, openRedis } from '../redis.js'

/** @type {import('../types.js').Case} */
export const redis = {
	name: 'redis',
	title: 'Redis: 100 B from one process to another, 256 under way, then 1,000 a second',
	contenders: ['ioredis', 'evstream'],
	baseline: 'ioredis',
	metrics: [
		{ key: 'us', label: 'µs per message', digits: 1, ratio: true },
		{ key: 'perSecond', label: 'messages per second', digits: 0 },
		{ key: 'p50', label: 'p50 ms at 1,000 a second', digits: 2 },
		{ key: 'p99', label: 'p99 ms at 1,000 a second', digits: 2, ratio: true },
	],
	sizes: {
		full: { connections: 10, warmup: 20_000, messages: 200_000, paced: 5000 },
		quick: { connections: 10, warmup: 1000, messages: 5000, paced: 500 },
	},
	obstacle: noRedis,
	setting: 'sender and receiver on a core each, Redis not pinned',
	async measure(_open, { warmup = 0, messages = 0, paced = 0 }, contender) {
		const pace = { bytes: 100, lanes: 256 }
		const server = await openRedis()
		const lab = new RedisLab(contender, server.url)
		try {
			await lab.start()
			await lab.send({ ...pace, messages: warmup })
			const { wallMs } = await lab.send({ ...pace, messages })
			await lab.send({ ...pace, messages: paced / 5, perSecond: 1000 })
			const { p50, p99 } = await lab.send({ ...pace, messages: paced, perSecond: 1000 })
			return { us: (wallMs * 1000) / messages, perSecond: (messages / wallMs) * 1000, p50, p99 }
		} finally {
			await lab.close()
			await server.close()
		}
	},
}

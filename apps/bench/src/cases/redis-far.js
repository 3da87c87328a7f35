/** The same to a Redis at a round trip of 30 ms, through the proxy of the tests: 20,000 messages a second. */
import { tsImport } from 'tsx/esm/api'
import { RedisLab } from '../redis/lab.js'
import { noRedis, openRedis } from '../redis.js'

/** Each way, in ms. */
const DELAY = 15

/** @type {import('../types.js').Case} */
export const redisFar = {
	name: 'redis-far',
	title: 'Redis at a round trip of 30 ms: 100 B from one process to another, 20,000 a second',
	contenders: ['ioredis', 'evstream'],
	baseline: 'ioredis',
	metrics: [
		{ key: 'perSecond', label: 'messages per second', digits: 0 },
		{ key: 'p50', label: 'p50 ms', digits: 2 },
		{ key: 'p99', label: 'p99 ms', digits: 2, ratio: true },
	],
	sizes: {
		full: { connections: 10, warmup: 2000, messages: 120_000 },
		quick: { connections: 10, warmup: 100, messages: 2000 },
	},
	obstacle: noRedis,
	setting: 'sender and receiver on a core each, Redis and the proxy not pinned',
	async measure(_open, { warmup = 0, messages = 0 }, contender) {
		/** @type {typeof import('../../../testkit/src/tcp-proxy.js')} */
		const { startTcpProxy } = await tsImport('../../../testkit/src/tcp-proxy.ts', import.meta.url)
		const server = await openRedis()
		const { hostname, port } = new URL(server.url)
		const proxy = await startTcpProxy({ host: hostname, port: Number(port || 6379) })
		proxy.delay(DELAY)
		const lab = new RedisLab(contender, proxy.url())
		try {
			await lab.start()
			await lab.send({ bytes: 100, lanes: 256, messages: warmup })
			// A message that is refused fails the run.
			const sent = await lab.send({ bytes: 100, lanes: 1, messages, perSecond: 20_000 })
			return { perSecond: (messages / sent.wallMs) * 1000, p50: sent.p50, p99: sent.p99 }
		} finally {
			await lab.close()
			await proxy.close()
			await server.close()
		}
	},
}

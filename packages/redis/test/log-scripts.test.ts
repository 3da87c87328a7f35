import { randomUUID } from 'node:crypto'
import { startRedis, type TestRedis } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { KEEP as KEEP_LOG } from '../src/keep-script.js'
import { RedisNames } from '../src/keys.js'
import { PUBLISH } from '../src/publish-script.js'
import { READ } from '../src/read-script.js'
import { defineScripts, runScript } from '../src/script.js'

let redis: TestRedis
beforeAll(async () => {
	redis = await startRedis()
})
afterAll(() => redis.stop())

const KEEP = 86_400_000

/** The two scripts, as the log calls them, on a log of their own. */
function setUp() {
	const client = new Redis(redis.url)
	onTestFinished(() => client.disconnect())
	defineScripts(client, [PUBLISH, KEEP_LOG, READ])
	const names = new RedisNames(randomUUID(), '')
	const key = names.channel('x')
	return {
		client,
		names,
		key,
		/** Publishes payloads to the channel `x`; returns the first one's number. */
		async publish(batch: number, payloads: readonly string[], { size = 1_000, ttl = 60_000 } = {}) {
			const keys = [names.log, names.channels, names.instances, names.retention, key]
			const channel = ['x', names.published(names.messageChannel('x')), size, ttl, 0]
			const messages = payloads.flatMap((payload) => [1, `${payload.length} 0`, '', payload])
			const args = ['', 0, 0, 'epoch', KEEP, 'p', batch, 0, Number.MAX_SAFE_INTEGER, 1]
			const reply = await runScript(client, PUBLISH, keys, [...args, ...channel, ...messages])
			return Number(String(reply).split(' ')[1])
		},
	}
}

describe('publishing a batch', () => {
	it('counts once, however often it is sent, also behind a later one', async () => {
		const { client, key, names, publish } = setUp()
		expect(await publish(1, ['a', 'b'])).toBe(1)
		expect(await publish(1, ['a', 'b'])).toBe(1)
		expect(await publish(2, ['c'])).toBe(3)
		await publish(1, ['a', 'b'])
		expect(await client.xlen(key)).toBe(3)
		expect(await client.hget(names.log, 'seq')).toBe('3')
	})

	it('keeps exactly as many as it may', async () => {
		const { client, key, publish } = setUp()
		await publish(
			1,
			Array.from({ length: 500 }, () => 'x'),
			{ size: 120 },
		)
		expect(await client.xlen(key)).toBe(120)
		const [[first = ''] = []] = await client.xrange(key, '-', '+')
		expect(first).toMatch(/^381-/)
	})

	it('forgets what is too old, hundreds at a time, and keeps the rest as long as that lives', async () => {
		const { client, key, publish } = setUp()
		await publish(
			1,
			Array.from({ length: 300 }, () => 'old'),
		)
		const [seconds = 0, micros = 0] = (await client.time()).map(Number)
		const now = seconds * 1_000 + Math.floor(micros / 1_000)
		let later = now
		while (later < now + 3) {
			const [s = 0, u = 0] = (await client.time()).map(Number)
			later = s * 1_000 + Math.floor(u / 1_000)
		}
		await publish(2, ['new'], { ttl: 2 })
		const left = await client.xrange(key, '-', '+')
		expect(left.length).toBeLessThanOrEqual(1)
		await publish(3, ['newer'], { ttl: 50_000 })
		const ttl = await client.pttl(key)
		expect(ttl).toBeGreaterThan(70_000)
		expect(ttl).toBeLessThanOrEqual(75_000)
	})
})

import { randomUUID } from 'node:crypto'
import { startRedis, type TestRedis } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { KEEP as KEEP_LOG } from '../src/keep-script.js'
import { RedisNames } from '../src/keys.js'
import { parseRead } from '../src/log-reader.js'
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
		async read(from: number | string, limit: number) {
			const reply = await runScript(
				client,
				READ,
				[names.log, names.channels, key],
				['', 0, 0, limit, 'x', from],
			)
			const [channel] = parseRead(reply, ['x'], limit).channels
			if (!channel) throw new Error('no channel')
			return { numbers: channel.entries.map(({ seq }) => seq), more: channel.more }
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
		const { client, key, publish, read } = setUp()
		await publish(
			1,
			Array.from({ length: 500 }, () => 'x'),
			{ size: 120 },
		)
		expect(await client.xlen(key)).toBe(120)
		expect((await read(0, 1_000)).numbers).toEqual(Array.from({ length: 120 }, (_, n) => 381 + n))
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

describe('reading a channel', () => {
	it('gives no more entries than asked for, and says that there is more', async () => {
		const { publish, read } = setUp()
		await publish(
			1,
			Array.from({ length: 10 }, () => 'x'),
		)
		expect(await read(0, 4)).toEqual({ numbers: [1, 2, 3, 4], more: true })
		expect(await read(4, 100)).toEqual({ numbers: [5, 6, 7, 8, 9, 10], more: false })
		expect(await read(10, 4)).toEqual({ numbers: [], more: false })
		expect((await read('last:5', 3)).numbers).toEqual([10, 9, 8])
		expect((await read('last:2', 100)).numbers).toEqual([10, 9])
		expect((await read('last:0', 100)).numbers).toEqual([])
	})
})

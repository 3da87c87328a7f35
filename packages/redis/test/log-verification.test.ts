import { randomUUID } from 'node:crypto'
import type { LogEntry, LogPosition } from '@evstream/core'
import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Inbox } from '../src/inbox.js'
import { EvRedisAdapter } from '../src/index.js'
import { RedisLog } from '../src/redis-log.js'
import { Verification } from '../src/verification.js'
import { dataOf, lookInto, startInstance, useRedis } from './support/log-instances.js'

const redis = useRedis()
const DAY = 86_400_000

/** A sender, and an instance with a listener on a silent channel. */
async function setUp() {
	const namespace = randomUUID()
	const look = lookInto(redis())
	const web = await startInstance(redis(), { namespace })
	const worker = await startInstance(redis(), { namespace })
	const client = await web.listen(['alerts'])
	return {
		namespace,
		look,
		web,
		worker,
		client,
		/** Days with messages on another channel, by the clock of the log. */
		async daysPass(days: number): Promise<void> {
			for (let day = 0; day < days; day++) {
				for (let n = 0; n < 3; n++) await worker.manager.send('busy', { data: `${day} ${n}` })
				await look.hincrby(`{${namespace}}:log`, 'marked', -DAY - 1_000)
			}
		},
	}
}

describe('a channel that was silent for days', () => {
	it('has no hole for a listener that was there all the time', async () => {
		const { web, worker, client, daysPass } = await setUp()
		await daysPass(8)
		await worker.manager.send('alerts', { data: 'fire' })
		await client.next(({ data }) => data === 'fire')
		expect(dataOf(client)).toEqual(['fire'])
		expect(web.manager.stats().resets).toBe(0)
	})

	it('has none for a newcomer either, nor for a client that comes back a little later', async () => {
		const { web, worker, client, daysPass } = await setUp()
		await daysPass(8)
		const newcomer = await web.listen(['alerts'])
		const ids = [client, newcomer].map(({ events }) => events.at(-1)?.id)
		for (const gone of [client, newcomer]) gone.close()
		await until(() => web.manager.stats().channels === 0)
		await worker.manager.send('busy', { data: 'last' })
		await worker.manager.send('alerts', { data: 'fire' })
		for (const id of ids) {
			const again = await worker.listen(['alerts'], id)
			await again.next(({ data }) => data === 'fire')
			expect(dataOf(again)).toEqual(['fire'])
		}
	})
})

describe('a log that compares what it delivered', () => {
	function open(instance: string, namespace: string) {
		const delivered: LogEntry[] = []
		const caughtUp: LogPosition[] = []
		const adapter = new EvRedisAdapter(redis().url, { namespace, onError: () => {} })
		const log = adapter.openLog(
			{
				deliver: (entry) => delivered.push(entry),
				reset() {},
				direct() {},
				error() {},
				caughtUp: (position) => caughtUp.push(position),
			},
			{ instance, resumable: true, retention: () => ({ size: 100, ttl: 60_000 }) },
		)
		if (!(log instanceof RedisLog)) throw new Error('It is another log.')
		onTestFinished(async () => {
			log.close()
			await adapter.close()
		})
		return { log, delivered, caughtUp }
	}

	it('needs what is kept only from where it stood before the last comparison', async () => {
		const namespace = randomUUID()
		const look = lookInto(redis())
		const { log } = open('i-', namespace)
		const used = async (): Promise<string | undefined> =>
			(await look.hget(`{${namespace}}:instances`, 'i-'))?.split(' ')[0]
		await log.append('busy', 'data:1\n\n')
		await log.subscribe('silent')
		expect(await used()).toBe('1')
		await log.append('busy', 'data:2\n\n')
		await log.verify()
		expect(await used()).toBe('1')
		await log.append('busy', 'data:3\n\n')
		// The comparison that moved it up to 2 was the last one.
		await log.verify()
		expect(await used()).toBe('1')
		await log.verify()
		expect(await used()).toBe('2')
	})

	it('finds a message that was kept and never published, at the second look', async () => {
		const namespace = randomUUID()
		const look = lookInto(redis())
		const { log, delivered, caughtUp } = open('i-', namespace)
		await log.subscribe('a')
		await log.append('a', 'data:1\n\n')
		await until(() => delivered.length === 1)
		const [sent] = await look.xrange(`{${namespace}}:channel:a`, '-', '+')
		const [id = '', fields = []] = sent ?? []
		const values = fields.map((value, at) => (fields[at - 1] === 'v' ? '1' : value))
		await look.xadd(`{${namespace}}:channel:a`, id.replace(/^1-/, '2-'), ...values)
		await look.zadd(`{${namespace}}:channels`, '2', 'a')
		await look.hset(`{${namespace}}:log`, 'seq', '2')
		await log.verify()
		expect(delivered).toHaveLength(1)
		await log.verify()
		await until(() => delivered.length === 2)
		expect(delivered.map(({ seq, payload }) => `${seq} ${payload}`)).toEqual(['1 data:1\n\n', '2 data:1\n\n'])
		await until(() => caughtUp.at(-1)?.seq === 2)
	})

	it('does so each minute, with timers that do not keep the process, until it is closed', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
		onTestFinished(() => void vi.useRealTimers())
		const failures: unknown[] = []
		let reads = 0
		let fails = true
		const source = {
			read: () => Promise.reject(new Error('away')),
			ttl: () => undefined,
			failed() {},
			wentBack() {},
		}
		const inbox = new Inbox({ deliver() {}, reset() {}, direct() {}, error() {} }, source)
		inbox.opening('a')
		inbox.opened('a', { epoch: 'one', seq: 7 })
		const verification = new Verification(inbox, {
			async read({ channels }) {
				reads++
				if (fails) throw new Error('away')
				return {
					head: { epoch: 'one', seq: 9 },
					floor: 0,
					cuts: new Map(),
					channels: channels.map(() => ({ start: 9, todo: undefined, upTo: 9, link: 0, entries: [] })),
				}
			},
			failed: (error) => failures.push(error),
		})
		verification.start()
		verification.start()
		expect(vi.getTimerCount()).toBe(1)
		for (let n = 1; n <= 3; n++) {
			await vi.advanceTimersByTimeAsync(60_000)
			expect(reads).toBeGreaterThanOrEqual(n)
			expect(vi.getTimerCount()).toBe(1)
			fails = n < 2
		}
		expect(failures.length).toBeGreaterThanOrEqual(2)
		// Clients were told of positions of the time before.
		expect([inbox.lowest, verification.lowest]).toEqual([9, 7])
		await vi.advanceTimersByTimeAsync(60_000)
		expect(verification.lowest).toBe(9)
		verification.close()
		expect(vi.getTimerCount()).toBe(0)
	})
})

import { Redis } from 'ioredis'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { backOff, closeConnection, connectTo } from '../src/connections.js'
import { FakeRedis, makeSubscriber } from './fake-redis.js'
import { queueOn } from './queue-on.js'

/** Where nothing listens. */
const NOWHERE = { host: '127.0.0.1', port: 1 }

describe('the pause before an attempt', () => {
	it('doubles up to two seconds, and is a quarter longer at random, so that not all come at once', () => {
		for (let attempt = 1; attempt < 20; attempt++) {
			const least = Math.min(50 * 2 ** (attempt - 1), 2_000)
			const pauses = Array.from({ length: 50 }, () => backOff(attempt))
			for (const pause of pauses) {
				expect(pause).toBeGreaterThanOrEqual(least)
				expect(pause).toBeLessThanOrEqual(1.25 * least)
			}
			expect(new Set(pauses).size).toBeGreaterThan(1)
		}
	})
})

describe('closing a connection', () => {
	it('resolves with its end, and leaves nothing behind', async () => {
		vi.useFakeTimers()
		onTestFinished(() => void vi.useRealTimers())
		const redis = new FakeRedis()
		redis.ready()
		await closeConnection(redis.asClient())
		expect(redis.status).toBe('end')
		await closeConnection(redis.asClient())
		expect(redis.listenerCount('end')).toBe(0)
		expect(vi.getTimerCount()).toBe(0)
	})

	it('does not wait for a socket where there is none, and not for ever for one that does not close', async () => {
		vi.useFakeTimers()
		onTestFinished(() => void vi.useRealTimers())
		const between = new FakeRedis()
		between.status = 'reconnecting'
		between.disconnect = vi.fn()
		await closeConnection(between.asClient())
		expect(between.disconnect).toHaveBeenCalledTimes(1)
		const stuck = new FakeRedis()
		stuck.disconnect = () => {}
		const closed = vi.fn()
		void closeConnection(stuck.asClient()).then(closed)
		await vi.advanceTimersByTimeAsync(999)
		expect(closed).not.toHaveBeenCalled()
		await vi.advanceTimersByTimeAsync(1)
		expect(closed).toHaveBeenCalledTimes(1)
		expect(between.listenerCount('end') + stuck.listenerCount('end')).toBe(0)
		expect(vi.getTimerCount()).toBe(0)
	})
})

describe('a connection that is made here', () => {
	it('retries for ever, answers as the scripts expect, and takes what it was given otherwise', () => {
		const given = { ...NOWHERE, lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 1 }
		const { client, owned } = connectTo({ ...given, keyPrefix: 'k:' }, 'name', 700)
		if (!(client instanceof Redis)) throw new Error('a Cluster')
		expect(owned).toBe(true)
		expect(client.options).toMatchObject({
			keyPrefix: 'k:',
			connectionName: 'name',
			disconnectTimeout: 50,
			autoResendUnfulfilledCommands: false,
			maxRetriesPerRequest: 0,
			replyMapping: 'legacy',
			socketTimeout: undefined,
			stringNumbers: false,
		})
		expect(client.options.retryStrategy?.(1)).toBeGreaterThanOrEqual(50)
		expect(client.options.reconnectOnError?.(new Error('READONLY'))).toBe(true)
		expect(client.options.reconnectOnError?.(new Error('WRONGTYPE'))).toBe(false)
		expect(connectTo(given, 'name', 700).answerTimeout).toBe(700)
		const patient = connectTo({ ...given, socketTimeout: 9_000 }, 'name', 700)
		expect(patient.answerTimeout).toBe(9_000)
	})

	it('and waits for its first use may fail without an unhandled rejection', async () => {
		const unhandled = vi.fn()
		process.on('unhandledRejection', unhandled)
		onTestFinished(() => void process.off('unhandledRejection', unhandled))
		const { client } = connectTo({ ...NOWHERE, lazyConnect: true }, 'name', 700)
		client.on('error', () => {})
		const { queue, lane } = queueOn(client, { owned: true })
		const command = lane.run(async () => 1, 60_000)
		expect(client.status).not.toBe('wait')
		await vi.waitUntil(() => client.status === 'reconnecting')
		const refused = expect(command).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await queue.close(0)
		await refused
		await closeConnection(client)
		await new Promise((resolve) => setImmediate(resolve))
		expect(unhandled).not.toHaveBeenCalled()
	})
})

describe('a connection that subscribes', () => {
	it('never reconnects or queues on its own, whatever the client it is made from does', async () => {
		const client = new Redis({
			...NOWHERE,
			lazyConnect: true,
			username: 'app',
			autoResubscribe: true,
			autoResendUnfulfilledCommands: true,
			commandTimeout: 5,
			enableAutoPipelining: true,
			enableOfflineQueue: false,
			enableReadyCheck: false,
			disconnectTimeout: 9_000,
			maxRetriesPerRequest: 3,
			readOnly: true,
			reconnectOnError: () => true,
			retryStrategy: () => 1,
			socketTimeout: 5,
			scripts: { mine: { lua: 'return 1' } },
		})
		client.on('error', () => {})
		const { owned, openSubscriber } = connectTo(client, 'name', 700)
		const subscriber = openSubscriber()
		if (!subscriber) throw new Error('no connection')
		subscriber.on('error', () => {})
		onTestFinished(async () => {
			await closeConnection(subscriber)
			await closeConnection(client)
		})
		expect(owned).toBe(false)
		// The first use connects the client too.
		expect(client.status).not.toBe('wait')
		expect(subscriber.status).not.toBe('wait')
		expect(subscriber.options).toMatchObject({
			username: 'app',
			autoResubscribe: false,
			autoResendUnfulfilledCommands: false,
			commandTimeout: undefined,
			connectionName: 'name:subscriber',
			enableAutoPipelining: false,
			enableOfflineQueue: true,
			enableReadyCheck: true,
			disconnectTimeout: 50,
			maxRetriesPerRequest: null,
			monitor: false,
			readOnly: false,
			reconnectOnError: null,
			socketTimeout: undefined,
			scripts: undefined,
		})
		expect(subscriber.options.retryStrategy?.(1)).toBeNull()
	})
})

describe('no timer keeps the process alive', () => {
	it('of a command that waits, nor of a subscriber', async () => {
		const timers = vi.spyOn(globalThis, 'setTimeout')
		onTestFinished(() => timers.mockRestore())
		const redis = new FakeRedis()
		const { queue, lane } = queueOn(redis.asClient())
		const refused = expect(lane.run(async () => 1, 60_000)).rejects.toMatchObject({ code: 'EV_CLOSED' })
		const { subscriber } = makeSubscriber()
		subscriber.subscribe('a', () => {}).catch(() => {})
		expect(timers.mock.results).toHaveLength(2)
		for (const { value } of timers.mock.results) expect(value.hasRef()).toBe(false)
		await queue.close(0)
		await refused
	})
})

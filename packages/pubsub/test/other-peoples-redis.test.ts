import {
	AwaitableQueue,
	redisLacks,
	startRedis,
	startTcpProxy,
	type TestRedis,
	until,
} from '@evstream/testkit'
import { Redis, type RedisOptions } from 'ioredis'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { EvRedisPubSub, RedisBus } from '../src/index.js'
import { makeBus, uniqueName, useRedis } from './support.js'

const noCommands = redisLacks('commands', 'databases and options of other people, frozen processes')
const noServer = redisLacks('control', 'a Redis that refuses writes')

const { redis } = useRedis()

type ClientOptions = Pick<
	RedisOptions,
	| 'db'
	| 'autoResendUnfulfilledCommands'
	| 'enableAutoPipelining'
	| 'enableOfflineQueue'
	| 'maxRetriesPerRequest'
>

function client(options: ClientOptions = {}): Redis {
	const made = new Redis({ host: redis().host, port: redis().port, ...options })
	made.on('error', () => {})
	onTestFinished(() => made.disconnect())
	return made
}

describe.skipIf(noCommands)('the number of the database', () => {
	it('is that of the options, the URL, or the client that was passed in', async () => {
		const { host, port } = redis()
		const selected = client()
		await selected.select(5)
		const sources = [{ host, port }, { host, port, db: 2 }, `${redis().url}/3`, client({ db: 4 }), selected]
		const numbers = sources.map((source) => makeBus(source).bus.database)
		expect(numbers).toEqual([0, 2, 3, 4, 5])
	})

	it('separates instances of EvRedisPubSub with one subject', async () => {
		const subject = uniqueName()
		const queues = [
			new AwaitableQueue<unknown>(),
			new AwaitableQueue<unknown>(),
			new AwaitableQueue<unknown>(),
		]
		const [here, there, sender] = [0, 1, 1].map((db, n) => {
			const options = { host: redis().host, port: redis().port, db }
			const pubsub = new EvRedisPubSub({ subject, options, onMessage: queues[n]?.push })
			onTestFinished(() => pubsub.close())
			return pubsub
		})
		await Promise.all([here?.ready, there?.ready, sender?.ready])
		await sender?.send('staging')
		expect(await queues[1]?.next()).toBe('staging')
		const late = new AwaitableQueue<string>()
		// What an operator publishes to the subject itself reaches database 0, as it always did.
		const { bus } = makeBus(redis().url)
		await bus.subscribe(subject, late.push)
		await bus.publish(subject, '{"from":"operator","seq":1,"message":"production"}')
		expect(await queues[0]?.next()).toBe('production')
		expect(queues[1]?.size).toBe(0)
	})
})

describe('a client that was passed in', () => {
	it('says whether it may send a command again by itself', () => {
		const quiet = { autoResendUnfulfilledCommands: false, enableOfflineQueue: false }
		expect(makeBus(redis().url).bus.resends).toBe(false)
		expect(makeBus(client()).bus.resends).toBe(true)
		expect(makeBus(client({ autoResendUnfulfilledCommands: false })).bus.resends).toBe(true)
		expect(makeBus(client(quiet)).bus.resends).toBe(false)
	})

	it.skipIf(noCommands)(
		'and drops what its connection left without an answer has it run again by the bus',
		async () => {
			const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
			onTestFinished(() => proxy.close())
			const quiet = new Redis(proxy.url(), {
				autoResendUnfulfilledCommands: false,
				enableOfflineQueue: false,
			})
			quiet.on('error', () => {})
			onTestFinished(() => quiet.disconnect())
			const { bus } = makeBus(quiet, { probe: { interval: 50, timeout: 2_000 } })
			await until(() => bus.healthy)
			proxy.freeze()
			const echoed = bus.command((redis) => redis.echo('here'))
			proxy.cut()
			expect(await echoed).toBe('here')
		},
	)

	it.skipIf(noCommands)(
		'and queues nothing has what it refuses while its socket closes run by the bus',
		async () => {
			const quiet = client({ autoResendUnfulfilledCommands: false, enableOfflineQueue: false })
			await until(() => quiet.status === 'ready')
			const { bus } = makeBus(quiet)
			await bus.command((redis) => redis.echo('before'))
			quiet.stream.destroy()
			// The socket takes nothing any more, and the client does not know it yet.
			expect(quiet.status).toBe('ready')
			const echoed = [1, 2, 3].map((n) => bus.command((redis) => redis.echo(`here ${n}`)))
			expect(await Promise.all(echoed)).toEqual(['here 1', 'here 2', 'here 3'])
		},
	)

	it.skipIf(noCommands)(
		'and would answer nothing after a lost connection is refused with what to set',
		async () => {
			const pipelining = { enableAutoPipelining: true, autoResendUnfulfilledCommands: false }
			for (const more of [{}, { maxRetriesPerRequest: null }, { enableOfflineQueue: false }]) {
				const stops = client({ ...pipelining, ...more })
				expect(() => new RedisBus(stops)).toThrow('Set maxRetriesPerRequest: 0 on it too')
				expect(() => new RedisBus(stops)).toThrow(TypeError)
			}
			for (const options of [{ ...pipelining, maxRetriesPerRequest: 0 }, { enableAutoPipelining: true }]) {
				const goesOn = client(options)
				await until(() => goesOn.status === 'ready')
				const { bus } = makeBus(goesOn)
				for (let round = 0; round < 3; round++) {
					const echoed = [1, 2, 3].map((n) => bus.command((redis) => redis.echo(`here ${n}`)))
					await new Promise((resolve) => setImmediate(resolve))
					goesOn.stream.destroy()
					expect(await Promise.all(echoed)).toEqual(['here 1', 'here 2', 'here 3'])
				}
			}
		},
	)

	it('carries more than ten buses without a warning, and is left without a listener', async () => {
		const warned = vi.fn()
		process.on('warning', warned)
		onTestFinished(() => void process.off('warning', warned))
		const shared = client()
		const names = ['ready', 'connect', 'close', 'end', 'error'] as const
		const count = (): number[] => names.map((name) => shared.listenerCount(name))
		const before = count()
		const buses = Array.from({ length: 15 }, () => new RedisBus(shared, { onError: () => {} }))
		await Promise.all(buses.map((bus) => bus.publish(uniqueName(), 'x')))
		await Promise.all(buses.map((bus) => bus.close()))
		await new Promise((resolve) => setImmediate(resolve))
		expect(warned).not.toHaveBeenCalled()
		expect(count()).toEqual(before)
	})

	it('and was closed by its owner refuses at once with EV_CLOSED, also what waited for it', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const owned = new Redis(proxy.url())
		owned.on('error', () => {})
		const { bus } = makeBus(owned)
		await until(() => bus.healthy)
		proxy.refuse(true)
		proxy.cut()
		await until(() => bus.waits)
		const waiting = expect(bus.publish('a', 'x', 200)).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await until(() => owned.status === 'reconnecting')
		owned.disconnect()
		await expect(bus.publish('a', 'x')).rejects.toThrow('The Redis client is closed')
		expect([bus.waits, bus.healthy]).toEqual([false, false])
		// Between two attempts the client does not say that it was closed.
		await waiting
	})

	it('and was closed while it was connecting refuses what waited for it at once', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		proxy.blackhole(true)
		const owned = new Redis(proxy.url())
		owned.on('error', () => {})
		const { bus } = makeBus(owned)
		const resumed = vi.fn()
		bus.onResume(resumed)
		const waiting = bus.publish('a', 'x', 60_000)
		await until(() => owned.status === 'connect')
		owned.disconnect()
		await expect(waiting).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(resumed).toHaveBeenCalledTimes(1)
		expect(bus.waits).toBe(false)
	})

	it('and is half-open is told once, keeps the subscriber, and is healthy when it answers again', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const halfOpen = new Redis(proxy.url())
		halfOpen.on('error', () => {})
		onTestFinished(() => halfOpen.disconnect())
		await until(() => halfOpen.status === 'ready')
		proxy.freeze()
		const { bus, errors, events } = makeBus(halfOpen)
		const queue = new AwaitableQueue<string>()
		const channel = uniqueName()
		await bus.subscribe(channel, queue.push)
		await until(() => !bus.healthy)
		// It is told when several probes had no answer, and once.
		await until(() => bus.stats().pending === 0)
		await until(() => bus.stats().pending > 0)
		expect(errors.map(String)).toEqual([
			'EvUnavailableError: Redis answered nothing for 150 ms on the client that was passed in. If its connection is half-open, only its socketTimeout ends it.',
		])
		const other = makeBus(redis().url)
		await other.bus.publish(channel, 'still heard')
		expect(await queue.next()).toBe('still heard')
		expect(events).toEqual([])
		proxy.blackhole(false)
		await until(() => bus.healthy)
	})
})

describe('a connection that the bus made', () => {
	it('has what broke with it run again, also with auto-pipelining', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const options = { host: '127.0.0.1', port: proxy.port, enableAutoPipelining: true }
		const { bus } = makeBus(options, { probe: { interval: 50, timeout: 2_000 } })
		const key = uniqueName()
		await bus.command((client) => client.set(key, 'x', 'EX', 10))
		proxy.freeze()
		const values = Promise.all(Array.from({ length: 3 }, () => bus.command((client) => client.get(key))))
		await new Promise((resolve) => setImmediate(resolve))
		proxy.cut()
		expect(await values).toEqual(['x', 'x', 'x'])
		expect(await bus.command((client) => client.get(key))).toBe('x')
	})

	it('never sends what was rejected, however long it was cut off', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const { bus } = makeBus(proxy.url(), { probe: { interval: 50, timeout: 2_000 } })
		const key = uniqueName()
		await bus.command((client) => client.set(key, '0', 'EX', 10))
		proxy.freeze()
		const sent = bus.command((client) => client.incr(key), 200)
		proxy.refuse(true)
		await expect(sent).rejects.toThrow('did not answer')
		proxy.cut()
		const waited = bus.command((client) => client.incr(key), 100)
		await expect(waited).rejects.toThrow('could not be reached')
		proxy.refuse(false)
		expect(await bus.command((client) => client.get(key))).toBe('0')
	})

	it('that answers nothing is replaced, before it is ready too', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		proxy.blackhole(true)
		const { bus, errors } = makeBus(proxy.url())
		let closed = 0
		bus.client.on('close', () => closed++)
		await until(() => closed >= 2)
		proxy.blackhole(false)
		await bus.publish('a', 'x')
		proxy.freeze()
		await bus.publish('a', 'x')
		expect(
			new Set(errors.map(String)).has(
				'EvUnavailableError: Redis answered nothing for 150 ms; connecting again.',
			),
		).toBe(true)
	})
})

// The server in JavaScript runs in this process, and is frozen with it.
describe.skipIf(noCommands)('a process that was frozen', () => {
	it.each([{ passedIn: false }, { passedIn: true }])(
		'reads its answers before it refuses: %o',
		async ({ passedIn }) => {
			const options = { host: redis().host, port: redis().port }
			const { bus, events, errors } = makeBus(passedIn ? client() : options, {
				probe: { interval: 50, timeout: 200 },
			})
			const channel = uniqueName()
			await bus.subscribe(channel, () => {})
			await bus.publish(channel, 'the connection is ready')
			let closed = 0
			bus.client.on('close', () => closed++)
			const sent = Array.from({ length: 100 }, (_, n) => bus.publish(channel, String(n), 300))
			// What was sent is answered while nothing runs here for longer than every deadline.
			const end = performance.now() + 600
			while (performance.now() < end);
			await Promise.all(sent)
			await bus.publish(channel, 'after')
			expect([...events, ...errors, closed]).toEqual([0])
		},
	)
})

describe('the limit of one user', () => {
	it('refuses nobody else, and the probes go on', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const { bus, events } = makeBus(proxy.url(), { probe: { interval: 20, timeout: 2_000 } })
		await bus.subscribe(uniqueName(), () => {})
		const greedy = bus.commands({ limit: 5 })
		const blocked = Array.from({ length: 5 }, () => greedy.run(() => new Promise<void>(() => {}), 60_000))
		for (const command of blocked) command.catch(() => {})
		await expect(greedy.run(async () => 1)).rejects.toThrow('5 commands already wait')
		const before = bus.stats().probeRoundTripMs
		await until(() => bus.stats().probeRoundTripMs !== before)
		await bus.publish('a', 'x')
		expect(greedy.pending).toBe(5)
		expect(events).toEqual([])
		expect(() => bus.commands({ limit: 0 })).toThrow(RangeError)
	})
})

describe.skipIf(noServer)('a Redis that refuses writes', () => {
	let admin: Redis | undefined
	afterEach(() => admin?.disconnect())

	async function server(): Promise<TestRedis> {
		const started = await startRedis({ args: ['--save', ''] })
		onTestFinished(() => started.stop())
		admin = new Redis(started.url)
		return started
	}

	const kinds = [
		{
			what: 'because it is full',
			code: 'OOM',
			spoil: () => admin?.config('SET', 'maxmemory', '1kb'),
			repair: () => admin?.config('SET', 'maxmemory', '0'),
		},
		{
			what: 'because it has too few replicas',
			code: 'NOREPLICAS',
			spoil: () => admin?.config('SET', 'min-replicas-to-write', '1'),
			repair: () => admin?.config('SET', 'min-replicas-to-write', '0'),
		},
		{
			what: 'because it is a replica',
			code: 'READONLY',
			spoil: () => admin?.replicaof('127.0.0.1', 1),
			repair: () => admin?.replicaof('NO', 'ONE'),
		},
	]

	for (const passedIn of [false, true]) {
		it.each(kinds)(
			`$what is not healthy until it takes one again, and is told once${passedIn ? ', on a client that was passed in' : ''}`,
			async ({ code, spoil, repair }) => {
				const started = await server()
				const source = passedIn ? new Redis(started.url) : started.url
				if (source instanceof Redis) onTestFinished(() => source.disconnect())
				const { bus, errors } = makeBus(source, { probe: { interval: 50, timeout: 1_000 } })
				await until(() => bus.healthy)
				await spoil()
				for (let n = 0; n < 3; n++) {
					const script = "return redis.call('SET', KEYS[1], ARGV[1])"
					const write = bus.command((redis) => redis.eval(script, 1, 'k', 'v'), 100)
					await expect(write).rejects.toThrow(code === 'READONLY' && !passedIn ? 'took no write' : code)
					expect(bus.healthy).toBe(false)
				}
				// Reads go on, and do not make it healthy.
				expect(await bus.command((redis) => redis.get('k'))).toBeNull()
				expect(bus.healthy).toBe(false)
				expect(errors.map(String).filter((error) => error.includes(code))).toHaveLength(1)
				await repair()
				await until(() => bus.healthy)
				// The next time is another outage.
				await spoil()
				await bus.command((redis) => redis.set('k', 'v'), 100).catch(() => {})
				await until(() => errors.map(String).filter((error) => error.includes(code)).length === 2)
			},
		)
	}
})

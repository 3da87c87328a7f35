import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
	AwaitableQueue,
	redisLacks,
	startRedis,
	startTcpProxy,
	type TcpProxy,
	type TestRedis,
	until,
} from '@evstream/testkit'
import { Cluster, Redis } from 'ioredis'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { makeBus, uniqueName, useRedis } from './support.js'

const noKill = redisLacks('commands', 'CLIENT KILL TYPE')
const noServer = redisLacks('control', 'outages of Redis itself')

const { redis } = useRedis()
let proxy: TcpProxy

beforeEach(async () => {
	proxy = await startTcpProxy({ host: redis().host, port: redis().port })
	return () => proxy.close()
})

/** Subscribes to a few channels and returns what checks that each of them works. */
async function subscribeMany(
	bus: ReturnType<typeof makeBus>['bus'],
	count = 20,
): Promise<() => Promise<void>> {
	const prefix = uniqueName()
	const queues = Array.from({ length: count }, () => new AwaitableQueue<string>())
	await Promise.all(queues.map((queue, i) => bus.subscribe(`${prefix}:${i}`, queue.push)))
	return async () => {
		await Promise.all(queues.map((_, i) => bus.publish(`${prefix}:${i}`, `message ${i}`)))
		const received = await Promise.all(queues.map((queue) => queue.next()))
		expect(received).toEqual(queues.map((_, i) => `message ${i}`))
	}
}

test('after a cut, restored comes once every channel is subscribed again', async () => {
	const { bus, events, errors } = makeBus(proxy.url())
	const check = await subscribeMany(bus)
	let confirmed: Promise<unknown> | undefined
	const prefix = uniqueName()
	await bus.subscribe(prefix, () => {})
	bus.onRestored(() => {
		confirmed = bus.publish(prefix, 'x')
	})
	for (let round = 1; round <= 3; round++) {
		proxy.cut()
		await until(() => events.length === 2 * round, { what: `restored, round ${round}` })
		await confirmed
		await check()
	}
	expect(events).toEqual(['lost', 'restored', 'lost', 'restored', 'lost', 'restored'])
	expect(bus.stats().reconnects).toBe(3)
	expect(errors.every((error) => error instanceof Error)).toBe(true)
})

test('an outage is reported once, commands wait, and a deadline bounds them', async () => {
	const { bus, events, errors } = makeBus(proxy.url())
	const check = await subscribeMany(bus)
	proxy.refuse(true)
	proxy.cut()
	await until(() => events.includes('lost') && bus.client.status !== 'ready')
	expect(bus.healthy).toBe(false)
	const never = bus.publish('a', 'never', 50)
	const late = bus.publish('a', 'late', 10_000)
	expect(bus.stats().pending).toBe(2)
	await expect(never).rejects.toMatchObject({ code: 'EV_UNAVAILABLE', name: 'EvUnavailableError' })
	const resubscribed = bus.subscribe(uniqueName(), () => {})
	await expect(Promise.race([resubscribed, until(() => false, { timeout: 300 })])).rejects.toThrow('Waited')
	// Each of the two connections tells each error once, however often it tries.
	const messages = errors.map(String)
	for (const message of messages) expect(messages.filter((other) => other === message).length).toBeLessThan(3)
	proxy.refuse(false)
	await Promise.all([late, resubscribed])
	await until(() => bus.healthy)
	await check()
})

test('too many commands at once are refused', async () => {
	const { bus } = makeBus(proxy.url(), { maxPending: 2 })
	proxy.refuse(true)
	const results = await Promise.allSettled([1, 2, 3].map((n) => bus.publish('a', String(n), 50)))
	expect(results.map((result) => result.status === 'rejected' && String(result.reason))).toEqual([
		'EvUnavailableError: Redis could not be reached within 50 ms.',
		'EvUnavailableError: Redis could not be reached within 50 ms.',
		'EvUnavailableError: 2 commands already wait for an answer of Redis.',
	])
})

test('Redis away at the start: everything works once it is there', async () => {
	proxy.refuse(true)
	const { bus, events } = makeBus(proxy.url())
	const channel = uniqueName()
	const queue = new AwaitableQueue<string>()
	const subscribed = bus.subscribe(channel, queue.push)
	const published = subscribed.then(() => bus.publish(channel, 'x'))
	await until(() => bus.client.status === 'reconnecting')
	proxy.refuse(false)
	await published
	expect(await queue.next()).toBe('x')
	expect(events).toEqual([])
})

test('closing while Redis is away refuses what waits', async () => {
	proxy.refuse(true)
	const { bus } = makeBus(proxy.url())
	const waiting = [bus.subscribe('a', () => {}), bus.publish('a', 'x')]
	await until(() => bus.client.status === 'reconnecting')
	await bus.close()
	for (const promise of waiting) await expect(promise).rejects.toMatchObject({ code: 'EV_CLOSED' })
})

test('a half-open subscriber is replaced although its socket looks alive', async () => {
	const { bus, events, errors } = makeBus(proxy.url())
	const check = await subscribeMany(bus)
	await until(() => bus.healthy)
	let closed = 0
	bus.client.on('close', () => closed++)
	proxy.freeze(1)
	await until(() => events.includes('restored'), { what: 'the replacement' })
	// Commands went through all the time: their connection stays.
	expect(closed).toBe(0)
	expect(errors.map(String)).toContain(
		'EvUnavailableError: Redis delivered nothing for 150 ms; connecting again.',
	)
	await check()
})

test('with the default probe a half-open connection pair is replaced in less than 10 s', async () => {
	const { bus, events } = makeBus(proxy.url(), { probe: {} })
	const check = await subscribeMany(bus)
	const start = performance.now()
	proxy.freeze()
	await until(() => events.includes('restored'), { timeout: 10_000, what: 'the replacement' })
	console.log(`half-open pair replaced after ${Math.round(performance.now() - start)} ms`)
	await until(() => bus.client.status === 'ready')
	await check()
})

test('a black hole that also swallows new connections ends in a working bus', async () => {
	const { bus, events } = makeBus(proxy.url())
	const check = await subscribeMany(bus)
	proxy.blackhole(true)
	await until(() => events.includes('lost'))
	await expect(bus.publish('a', 'x', 20)).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
	await until(() => proxy.connections > 3, { what: 'new attempts' })
	proxy.blackhole(false)
	await until(() => bus.healthy && events.includes('restored'))
	await check()
})

test.skipIf(noKill)('after CLIENT KILL both connections come back', async () => {
	const { bus, events } = makeBus(redis().url)
	const check = await subscribeMany(bus)
	const admin = new Redis(redis().url)
	onTestFinished(() => admin.disconnect())
	await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
	await until(() => events.length === 2)
	await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
	await check()
	expect(events).toEqual(['lost', 'restored'])
})

test('after close nothing keeps the process alive', async () => {
	const script = fileURLToPath(new URL('./closing.ts', import.meta.url))
	const run = promisify(execFile)
	const { stdout } = await run(
		process.execPath,
		['--conditions', '@evstream/source', '--import', 'tsx', script, proxy.url()],
		{
			timeout: 15_000,
		},
	)
	// Sockets, timers or handles of the bus would be listed here.
	expect(JSON.parse(stdout)).toEqual([])
})

describe.skipIf(noServer)('with a redis-server or valkey-server on the PATH', () => {
	async function own(args?: readonly string[]): Promise<TestRedis> {
		const server = await startRedis(args ? { args } : {})
		onTestFinished(() => server.stop())
		return server
	}

	test('after kill -9 and a restart every channel is subscribed again', async () => {
		const server = await own()
		const { bus, events } = makeBus(server.url)
		const check = await subscribeMany(bus)
		await server.kill()
		await until(() => events.includes('lost'))
		const waiting = bus.publish('a', 'while it is away')
		await server.restart()
		await waiting
		await until(() => bus.healthy)
		await check()
		expect(events).toEqual(['lost', 'restored'])
	})

	test('a Redis that hangs is left, and found again when it goes on', async () => {
		const server = await own()
		const { bus, events } = makeBus(server.url)
		const check = await subscribeMany(bus)
		server.pause()
		await until(() => events.includes('lost'))
		server.resume()
		await until(() => bus.healthy && events.includes('restored'))
		await check()
	})

	test('READONLY after a failover: the command is run again until a master answers', async () => {
		const [master, server] = await Promise.all([own(), own()])
		const { bus } = makeBus(server.url)
		const admin = new Redis(server.url)
		onTestFinished(() => admin.disconnect())
		await admin.replicaof(master.host, master.port)
		const failing = bus.command((client) => client.set('a', 'no'), 100)
		await expect(failing).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		const writes = [1, 2, 3].map((n) => bus.command((client) => client.rpush('list', n)))
		await until(() => bus.client.status !== 'ready', { what: 'the reconnect on READONLY' })
		await admin.replicaof('NO', 'ONE')
		await Promise.all(writes)
		expect(await bus.command((client) => client.lrange('list', 0, -1))).toEqual(['1', '2', '3'])
	})

	test('a channel that the user may not subscribe to is refused, the others work', async () => {
		const server = await own()
		const admin = new Redis(server.url)
		onTestFinished(() => admin.disconnect())
		await admin.acl('SETUSER', 'limited', 'on', '>secret', '+@all', '~*', '&evstream:*', '&allowed')
		const { bus } = makeBus({
			host: server.host,
			port: server.port,
			username: 'limited',
			password: 'secret',
		})
		const queue = new AwaitableQueue<string>()
		await expect(bus.subscribe('forbidden', () => {})).rejects.toThrow('NOPERM')
		await bus.subscribe('allowed', queue.push)
		await expect(bus.subscribe('forbidden', () => {})).rejects.toThrow('NOPERM')
		await bus.publish('allowed', 'x')
		expect(await queue.next()).toBe('x')
		expect(bus.stats().channels).toBe(1)

		const other = makeBus(
			{ host: server.host, port: server.port, username: 'limited', password: 'secret' },
			{ name: 'not-allowed' },
		)
		void other.bus.subscribe('allowed', () => {})
		await until(() => other.errors.some((error) => String(error).includes('set probe to false')))
	})

	test('a Cluster: subscribes to one of its nodes and comes back after it was killed', async () => {
		const server = await own(['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'])
		const admin = new Redis(server.url)
		onTestFinished(() => admin.disconnect())
		await admin.cluster('ADDSLOTSRANGE', 0, 16383)
		await until(async () => String(await admin.cluster('INFO')).includes('cluster_state:ok'))
		const cluster = new Cluster([{ host: server.host, port: server.port }], { keyPrefix: 'c:' })
		onTestFinished(() => cluster.disconnect())
		const { bus, events } = makeBus(cluster)
		expect(bus.keyPrefix).toBe('c:')
		const check = await subscribeMany(bus)
		await check()
		await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
		await until(() => events.includes('restored'))
		await check()
		await bus.close()
		expect(await cluster.set('a', '1')).toBe('OK')
	})
})

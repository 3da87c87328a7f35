import { AwaitableQueue, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { expect, onTestFinished, test } from 'vitest'
import { RedisBus } from '../src/index.js'
import { makeBus, uniqueName, useRedis } from './support.js'

const { redis } = useRedis()

function admin(): Redis {
	const client = new Redis(redis().url)
	onTestFinished(() => client.disconnect())
	return client
}

test('what is published reaches every handler, in order', async () => {
	const { bus } = makeBus(redis().url)
	const channel = uniqueName()
	const first = new AwaitableQueue<string>()
	const second = new AwaitableQueue<string>()
	await bus.subscribe(channel, first.push)
	await bus.subscribe(channel, second.push)
	for (let i = 0; i < 100; i++) void bus.publish(channel, String(i))
	await until(() => first.size === 100 && second.size === 100)
	expect(first.drain()).toEqual(Array.from({ length: 100 }, (_, i) => String(i)))
	expect(bus.healthy).toBe(true)
})

test('the first handler subscribes, the last undo unsubscribes, and an undo counts once', async () => {
	const { bus } = makeBus(redis().url)
	const channel = uniqueName()
	const client = admin()
	const subscribers = async (): Promise<unknown> => (await client.pubsub('NUMSUB', channel))[1]
	const handler = (): void => {}
	const [undoA, undoB] = await Promise.all([bus.subscribe(channel, handler), bus.subscribe(channel, handler)])
	expect(await subscribers()).toBe(1)
	expect(bus.stats().channels).toBe(1)
	undoA()
	undoA()
	expect(bus.stats().channels).toBe(1)
	expect(await subscribers()).toBe(1)
	undoB()
	expect(bus.stats().channels).toBe(0)
	await until(async () => (await subscribers()) === 0, { what: 'UNSUBSCRIBE' })
	const queue = new AwaitableQueue<string>()
	await bus.subscribe(channel, queue.push)
	await bus.publish(channel, 'again')
	expect(await queue.next()).toBe('again')
})

test('a handler that throws or rejects is reported and stops nobody', async () => {
	const { bus, errors } = makeBus(redis().url)
	const channel = uniqueName()
	const queue = new AwaitableQueue<string>()
	await bus.subscribe(channel, () => {
		throw new Error('at once')
	})
	await bus.subscribe(channel, async () => {
		throw new Error('later')
	})
	await bus.subscribe(channel, queue.push)
	await bus.publish(channel, 'x')
	expect(await queue.next()).toBe('x')
	await until(() => errors.length === 2)
	expect(errors.map(String)).toEqual(['Error: at once', 'Error: later'])
})

test('the key prefix stands before channel names too', async () => {
	const { bus } = makeBus({ host: redis().host, port: redis().port, keyPrefix: 'tenant:' })
	const channel = uniqueName()
	const queue = new AwaitableQueue<string>()
	expect(bus.keyPrefix).toBe('tenant:')
	await bus.subscribe(channel, queue.push)
	const client = admin()
	await client.publish(channel, 'for another tenant')
	await client.publish(`tenant:${channel}`, 'from outside')
	await bus.publish(channel, 'from inside')
	expect([await queue.next(), await queue.next()]).toEqual(['from outside', 'from inside'])
})

test('an existing client is used, never changed and never closed', async () => {
	const client = admin()
	client.on('error', () => {})
	const before = client.listenerCount('error') + client.listenerCount('ready')
	const bus = new RedisBus(client)
	const queue = new AwaitableQueue<string>()
	const channel = uniqueName()
	await bus.subscribe(channel, queue.push)
	await bus.publish(channel, 'x')
	expect(await queue.next()).toBe('x')
	expect(bus.client).toBe(client)
	await bus.close()
	expect(await client.ping()).toBe('PONG')
	expect(client.listenerCount('error') + client.listenerCount('ready')).toBe(before)
})

test('a lazy client is connected by the first use', async () => {
	const { bus } = makeBus({ host: redis().host, port: redis().port, lazyConnect: true })
	expect(bus.client.status).toBe('wait')
	await bus.subscribe(uniqueName(), () => {})
	await until(() => bus.healthy)
})

test('the probe runs while there is a subscription and measures the round trip', async () => {
	const { bus, events } = makeBus(redis().url, { probe: { interval: 5, timeout: 1000 } })
	const undo = await bus.subscribe(uniqueName(), () => {})
	const first = await until(() => bus.stats().probeRoundTripMs)
	await until(() => bus.stats().probeRoundTripMs !== first)
	undo()
	expect(events).toEqual([])
	expect(bus.stats().reconnects).toBe(0)
})

test('an answer of Redis that is an error stays what it is', async () => {
	const { bus } = makeBus(redis().url)
	const key = uniqueName()
	await bus.command((client) => client.set(key, 'text', 'EX', 10))
	await expect(bus.command((client) => client.lpush(key, 'x'))).rejects.toThrow('WRONGTYPE')
	const thrown = bus.command(() => {
		throw new TypeError('mine')
	})
	await expect(thrown).rejects.toThrow(TypeError)
})

test('a closed bus refuses everything with EV_CLOSED, and what was sent before is answered', async () => {
	const { bus } = makeBus(redis().url)
	await bus.subscribe(uniqueName(), () => {})
	await bus.publish(uniqueName(), 'the connection is ready')
	const sent = bus.publish(uniqueName(), 'x')
	const closing = bus.close()
	expect(bus.close()).toBe(closing)
	await expect(sent).resolves.toBeUndefined()
	await closing
	await expect(bus.publish('a', 'b')).rejects.toMatchObject({ code: 'EV_CLOSED', name: 'EvClosedError' })
	await expect(bus.subscribe('a', () => {})).rejects.toMatchObject({ code: 'EV_CLOSED' })
	expect(bus.healthy).toBe(false)
	expect(bus.client.status).toBe('end')
})

test('wrong options are refused at once', async () => {
	const { bus } = makeBus(redis().url)
	await expect(bus.publish('a', 'b', Number.POSITIVE_INFINITY)).rejects.toThrow(RangeError)
	expect(() => new RedisBus({}, { probe: { interval: 0 } })).toThrow(RangeError)
	expect(() => new RedisBus({}, { deadline: Number.NaN })).toThrow(RangeError)
})

import { AwaitableQueue, currentRequest, forgotten, inRequest, startTcpProxy, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EvRedisPubSub, type EvRedisPubSubOptions, RedisBus, type RedisBusOptions } from '../src/index.js'
import { fastProbe, uniqueName, useRedis } from './support.js'

const { redis } = useRedis()

function openPubSub(
	subject: string,
	more: Partial<EvRedisPubSubOptions<number>> = {},
): EvRedisPubSub<number> {
	const pubsub = new EvRedisPubSub<number>({ subject, options: redis().url, ...more })
	onTestFinished(() => pubsub.close())
	return pubsub
}

function openBus(source: ConstructorParameters<typeof RedisBus>[0], options: RedisBusOptions = {}): RedisBus {
	const bus = new RedisBus(source, { probe: fastProbe, ...options })
	onTestFinished(() => bus.close())
	return bus
}

/** A callback that says in which request it ran. */
function watched(): { requests: AwaitableQueue<string | undefined>; callback: () => void } {
	const requests = new AwaitableQueue<string | undefined>()
	return { requests, callback: () => requests.push(currentRequest()) }
}

describe('EvRedisPubSub', () => {
	it('hands messages over in the request that gave the handler', async () => {
		const subject = uniqueName()
		const { requests, callback } = watched()
		const receiver = inRequest('maker', () => openPubSub(subject, { onMessage: callback }))
		const sender = openPubSub(subject)
		await Promise.all([inRequest('waiter', () => receiver.ready), sender.ready])
		await inRequest('sender', () => sender.send(1))
		expect(await requests.next()).toBe('maker')
		inRequest('other', () => receiver.onMessage(callback))
		await inRequest('sender', () => sender.send(2))
		expect(await requests.next()).toBe('other')
	})

	it('reports in the request that gave onError', async () => {
		const subject = uniqueName()
		const { requests, callback } = watched()
		const pubsub = inRequest('maker', () => openPubSub(subject, { onError: callback }))
		await pubsub.ready
		const other = new Redis(redis().url)
		onTestFinished(() => other.disconnect())
		await other.publish(subject, 'no message')
		expect(await requests.next()).toBe('maker')
		await pubsub.close()
		const late = inRequest('sender', () => pubsub.send(1))
		await expect(late).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(await requests.next()).toBe('maker')
	})
})

describe('RedisBus', () => {
	it('calls each handler in the request that subscribed it', async () => {
		const bus = openBus(redis().url)
		const channel = uniqueName()
		const [a, b] = [watched(), watched()]
		await inRequest('a', () => bus.subscribe(channel, a.callback))
		await inRequest('b', () => bus.subscribe(channel, b.callback))
		await inRequest('sender', () => bus.publish(channel, 'x'))
		expect(await a.requests.next()).toBe('a')
		expect(await b.requests.next()).toBe('b')
	})

	it('says that it was lost and restored in the requests that asked, and reports in its maker’s', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const [error, lost, restored] = [watched(), watched(), watched()]
		const source = { host: '127.0.0.1', port: proxy.port }
		const bus = inRequest('maker', () => openBus(source, { onError: error.callback }))
		inRequest('a', () => bus.onLost(lost.callback))
		inRequest('b', () => bus.onRestored(restored.callback))
		await inRequest('subscriber', () => bus.subscribe(uniqueName(), () => {}))
		proxy.blackhole(true)
		expect(await lost.requests.next()).toBe('a')
		expect(await error.requests.next()).toBe('maker')
		proxy.blackhole(false)
		expect(await restored.requests.next()).toBe('b')
	})

	it('runs a command in its caller’s request, at once and when it had to wait', async () => {
		const client = new Redis(redis().url, { lazyConnect: true })
		onTestFinished(() => client.disconnect())
		const bus = openBus(client)
		const seen: unknown[] = []
		const ping = async (to: { ping(): Promise<string> }) => {
			seen.push(currentRequest())
			return to.ping()
		}
		await Promise.all(['a', 'b'].map((name) => inRequest(name, () => bus.command(ping))))
		await inRequest('c', () => bus.command(ping))
		expect(seen).toEqual(['a', 'b', 'c'])
	})
})

describe('nothing keeps the store of a request', () => {
	it('that made a bus and subscribed for a while', async () => {
		const made: RedisBus[] = []
		await forgotten(async () => {
			const bus = openBus(redis().url)
			made.push(bus)
			const unsubscribe = await bus.subscribe(uniqueName(), () => {})
			unsubscribe()
		})
		await until(() => made[0]?.healthy)
	})

	it('that connected a client by its first message', async () => {
		const client = new Redis(redis().url, { lazyConnect: true, socketTimeout: 60_000 })
		onTestFinished(() => client.disconnect())
		const bus = openBus(client)
		await forgotten(() => bus.publish(uniqueName(), 'x'))
		expect(client.status).toBe('ready')
	})

	it('that connected a client by its first command', async () => {
		const client = new Redis(redis().url, { lazyConnect: true })
		onTestFinished(() => client.disconnect())
		const bus = openBus(client)
		await forgotten(() => bus.command((it) => it.ping()))
		expect(client.status).toBe('ready')
	})

	it('that ended a subscription, and Redis does not answer', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const bus = openBus({ host: '127.0.0.1', port: proxy.port }, { probe: false, onError: () => {} })
		const unsubscribe = await bus.subscribe(uniqueName(), () => {})
		proxy.blackhole(true)
		await forgotten(() => unsubscribe())
		expect(bus.stats().channels).toBe(0)
	})

	it('that opened the subscriber, which others still use', async () => {
		const bus = openBus(redis().url, { probe: { interval: 60_000, timeout: 4000 } })
		const [channel, queue] = [uniqueName(), new AwaitableQueue<string>()]
		await forgotten(async () => {
			const unsubscribe = await bus.subscribe(uniqueName(), () => {})
			await inRequest('other', () => bus.subscribe(channel, queue.push))
			unsubscribe()
		})
		await bus.publish(channel, 'x')
		expect(await queue.next()).toBe('x')
	})

	it('whose message waited in vain for a Redis that is not there', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		proxy.blackhole(true)
		const bus = openBus({ host: '127.0.0.1', port: proxy.port }, { onError: () => {} })
		const refused: unknown[] = []
		await forgotten(() => bus.publish('x', 'x', 50).catch((error) => refused.push(error.code)))
		expect(refused).toEqual(['EV_UNAVAILABLE'])
		expect(bus.healthy).toBe(false)
	})

	it('whose message got no answer, while its connection is kept', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const client = new Redis({ host: '127.0.0.1', port: proxy.port })
		onTestFinished(() => client.disconnect())
		const bus = openBus(client, { probe: false })
		await bus.publish('x', 'x')
		proxy.blackhole(true)
		const refused: unknown[] = []
		await forgotten(() => bus.publish('x', 'x', 50).catch((error) => refused.push(error.code)))
		expect(refused).toEqual(['EV_UNAVAILABLE'])
		expect(client.status).toBe('ready')
	})

	it('that made a pub/sub and sent a message', async () => {
		const made: EvRedisPubSub<number>[] = []
		await forgotten(async () => {
			const pubsub = openPubSub(uniqueName())
			made.push(pubsub)
			await pubsub.ready
			await pubsub.send(1)
		})
		expect(made[0]?.healthy).toBe(true)
	})
})

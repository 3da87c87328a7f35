import { AwaitableQueue, startTcpProxy, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { expect, onTestFinished, test } from 'vitest'
import { EvRedisPubSub, type EvRedisPubSubOptions } from '../src/index.js'
import { uniqueName, useRedis } from './support.js'

const { redis } = useRedis()

function open<T = unknown>(subject: string, more: Partial<EvRedisPubSubOptions<T>> = {}): EvRedisPubSub<T> {
	const pubsub = new EvRedisPubSub<T>({ subject, options: redis().url, ...more })
	onTestFinished(() => pubsub.close())
	return pubsub
}

test('a message reaches the others and not its sender', async () => {
	const subject = uniqueName()
	const queues = [new AwaitableQueue<unknown>(), new AwaitableQueue<unknown>(), new AwaitableQueue<unknown>()]
	const [sender, ...others] = queues.map((queue) => open(subject, { onMessage: queue.push }))
	await Promise.all([sender?.ready, ...others.map((other) => other.ready)])
	await sender?.send({ type: 'create', channel: 'user-count' })
	for (const queue of queues.slice(1)) {
		expect(await queue.next()).toEqual({ type: 'create', channel: 'user-count' })
	}
	await others[0]?.send('back')
	expect(await queues[0]?.next()).toBe('back')
})

test('takes options, sets the handler later and replaces it, as the documentation has it', async () => {
	const subject = uniqueName()
	const pubsub = new EvRedisPubSub({ subject, options: { host: redis().host, port: redis().port } })
	onTestFinished(() => pubsub.close())
	const other = open(subject)
	const [first, second] = [new AwaitableQueue<unknown>(), new AwaitableQueue<unknown>()]
	pubsub.onMessage((msg) => first.push(msg))
	await Promise.all([pubsub.ready, other.ready])
	await other.send(1)
	expect(await first.next()).toBe(1)
	pubsub.onMessage((msg) => second.push(msg))
	await other.send(null)
	expect(await second.next()).toBeNull()
	expect(first.size).toBe(0)
})

test('what JSON cannot carry is refused with a TypeError and does no harm when ignored', async () => {
	const errors: unknown[] = []
	const pubsub = open(uniqueName(), { onError: (error) => errors.push(error) })
	const cycle: unknown[] = []
	cycle.push(cycle)
	for (const value of [undefined, () => {}, Symbol('s'), 1n, cycle]) {
		await expect(pubsub.send(value)).rejects.toThrow(TypeError)
	}
	void pubsub.send(undefined)
	await until(() => errors.length === 6)
})

test('payloads of unknown form and handlers that fail are reported and skipped', async () => {
	const subject = uniqueName()
	const errors: unknown[] = []
	const queue = new AwaitableQueue<unknown>()
	const pubsub = open(subject, { onError: (error) => errors.push(error) })
	pubsub.onMessage(async (msg) => {
		if (msg === 'bad') throw new Error('handler')
		queue.push(msg)
	})
	const other = open(subject)
	const client = new Redis(redis().url)
	onTestFinished(() => client.disconnect())
	await Promise.all([pubsub.ready, other.ready])
	for (const payload of ['', '{', 'null', '7', '{"from":1}', '{"from":"a","seq":"1","message":1}']) {
		await client.publish(subject, payload)
	}
	await other.send('bad')
	await other.send('good')
	expect(await queue.next()).toBe('good')
	await until(() => errors.length === 7)
	expect(errors.slice(0, 6).every((error) => error instanceof TypeError)).toBe(true)
})

test('a payload that Redis got twice is heard once', async () => {
	const subject = uniqueName()
	const queue = new AwaitableQueue<unknown>()
	const pubsub = open(subject, { onMessage: queue.push })
	const client = new Redis(redis().url)
	onTestFinished(() => client.disconnect())
	await pubsub.ready
	for (const seq of [1, 2, 1, 2, 3]) {
		await client.publish(subject, JSON.stringify({ from: 'someone', seq, message: seq }))
	}
	await until(() => queue.size === 3)
	expect(queue.drain()).toEqual([1, 2, 3])
})

test('send after close rejects with EV_CLOSED, and ready of one that never connected too', async () => {
	const pubsub = new EvRedisPubSub({ subject: 'x', options: { host: '127.0.0.1', port: 1 } })
	const { ready } = pubsub
	const closing = pubsub.close()
	expect(pubsub.close()).toBe(closing)
	await closing
	await expect(pubsub.send(1)).rejects.toMatchObject({ code: 'EV_CLOSED' })
	await expect(ready).rejects.toMatchObject({ code: 'EV_CLOSED' })
	expect(() => new EvRedisPubSub({ subject: '' })).toThrow(TypeError)
})

test('works on an existing client, which stays open, and says when messages may have been missed', async () => {
	const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
	onTestFinished(() => proxy.close())
	const client = new Redis(proxy.url(), { maxRetriesPerRequest: null })
	client.on('error', () => {})
	onTestFinished(() => client.disconnect())
	const subject = uniqueName()
	const queue = new AwaitableQueue<{ n: number }>()
	const pubsub = open<{ n: number }>(subject, { options: client, onMessage: queue.push })
	const restored = new Promise<void>((resolve) => pubsub.onRestored(resolve))
	const other = open<{ n: number }>(subject)
	await Promise.all([pubsub.ready, other.ready])
	proxy.cut()
	await restored
	await other.send({ n: 1 })
	expect(await queue.next()).toEqual({ n: 1 })
	await pubsub.close()
	expect(await client.ping()).toBe('PONG')
})

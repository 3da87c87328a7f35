import { describe, expect, it, onTestFinished } from 'vitest'
import { EvRedisPubSub } from '../src/index.js'
import { FakeClient } from './fake-client.js'

async function open() {
	const client = new FakeClient()
	const heard: unknown[] = []
	const errors: unknown[] = []
	const pubsub = new EvRedisPubSub<unknown>({
		subject: 'news',
		options: client.asClient(),
		onMessage: (message) => void heard.push(message),
		onError: (error) => errors.push(error),
	})
	onTestFinished(() => pubsub.close())
	await client.connections[0]?.up()
	await pubsub.ready
	const arrive = (payload: string): void => void client.connections[0]?.emit('message', 'news', payload)
	/** A message of another instance. */
	const receive = (from: string, seq: number, message: unknown = `${from} ${seq}`): void =>
		arrive(JSON.stringify({ from, seq, message }))
	return { client, pubsub, heard, errors, arrive, receive }
}

describe('EvRedisPubSub on an existing client', () => {
	it('hears each message once, whatever comes twice or late, and its own never', async () => {
		const { client, pubsub, heard, arrive, receive } = await open()
		await Promise.all([pubsub.send('one'), pubsub.send('two')])
		for (const payload of client.published) arrive(payload)
		receive('a', 1)
		receive('b', 1)
		receive('a', 2)
		receive('a', 1)
		receive('a', 2)
		receive('b', 2)
		expect(heard).toEqual(['a 1', 'b 1', 'a 2', 'b 2'])
		expect(client.published.map((payload) => JSON.parse(payload).seq)).toEqual([1, 2])
	})

	it('remembers a thousand senders, and forgets the one that was silent longest', async () => {
		const { heard, receive } = await open()
		for (let n = 0; n < 1_000; n++) receive(`s${n}`, 1)
		receive('s0', 2)
		expect(heard).toHaveLength(1_001)
		receive('s1000', 1)
		heard.length = 0
		// `s0` spoke lately and is remembered; the memory of `s1` had to go for the newest one.
		for (const [from, seq] of [
			['s0', 2],
			['s2', 1],
			['s1000', 1],
			['s1', 1],
		] as const)
			receive(from, seq)
		expect(heard).toEqual(['s1 1'])
	})

	it('hears nothing after it was closed, and tells nobody then', async () => {
		const { client, pubsub, heard, errors, receive } = await open()
		const [connection] = client.connections
		const closing = pubsub.close()
		receive('a', 1)
		connection?.emit('message', 'news', 'garbage')
		await closing
		expect(heard).toEqual([])
		expect(errors).toEqual([])
		await expect(pubsub.send(1)).rejects.toThrow('The EvRedisPubSub is closed.')
		expect(errors).toMatchObject([{ code: 'EV_CLOSED' }])
	})

	it('tells a subscription that failed, but not the one that its own close ended', async () => {
		const client = new FakeClient()
		const errors: unknown[] = []
		const options = {
			subject: 'news',
			options: client.asClient(),
			onError: (error: unknown) => errors.push(error),
		}
		const closed = new EvRedisPubSub(options)
		await closed.close()
		await expect(closed.ready).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(errors).toEqual([])
		const refused = new EvRedisPubSub(options)
		onTestFinished(() => refused.close())
		client.connections[1]?.ready()
		client.connections[1]?.asked.get('news')?.refuse(new Error('NOPERM'))
		await expect(refused.ready).rejects.toThrow('NOPERM')
		expect(errors).toEqual([new Error('NOPERM')])
	})

	it('survives an onError that throws, and still rejects what failed', async () => {
		const client = new FakeClient()
		const pubsub = new EvRedisPubSub<unknown>({
			subject: 'news',
			options: client.asClient(),
			onError: () => {
				throw new Error('onError')
			},
		})
		onTestFinished(() => pubsub.close())
		await client.connections[0]?.up()
		client.connections[0]?.emit('message', 'news', 'garbage')
		await expect(pubsub.send(undefined)).rejects.toThrow(TypeError)
	})

	it('reports and skips what is no message, whatever part of it is missing', async () => {
		const { heard, errors, arrive, receive } = await open()
		const payloads = [
			'',
			'{',
			'null',
			'7',
			'[]',
			'{"seq":1,"message":1}',
			'{"from":1,"seq":1,"message":1}',
			'{"from":"a","message":1}',
			'{"from":"a","seq":"1","message":1}',
			'{"from":"a","seq":1}',
		]
		for (const payload of payloads) arrive(payload)
		receive('a', 1, null)
		expect(errors).toHaveLength(payloads.length)
		expect(errors.every((error) => error instanceof TypeError)).toBe(true)
		expect(heard).toEqual([null])
	})
})

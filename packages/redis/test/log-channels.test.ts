import { randomUUID } from 'node:crypto'
import { EvStreamManager } from '@evstream/core'
import { listenHttp, openSse, redisLacks, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { dataOf, lookInto, startInstance, useRedis } from './support/log-instances.js'

const tooSlow = redisLacks('commands', '10,000 channels')

const redis = useRedis()

describe('channels over instances', () => {
	it('reach the clients of every instance in the same order, with the same ids', async () => {
		const namespace = randomUUID()
		const one = await startInstance(redis(), { namespace })
		const two = await startInstance(redis(), { namespace })
		const [a, b] = [await one.listen(['x', 'y']), await two.listen(['x', 'y'])]
		const sends = Array.from({ length: 100 }, (_, n) =>
			(n % 2 === 0 ? one : two).manager.send(n % 3 === 0 ? 'x' : 'y', { data: `${n}` }),
		)
		const ids = await Promise.all(sends)
		await until(() => dataOf(a).length === 100 && dataOf(b).length === 100)
		const messages = a.events.filter(({ event }) => event === 'message')
		expect(b.events.filter(({ event }) => event === 'message')).toEqual(messages)
		expect(new Set(messages.map(({ id }) => id))).toEqual(new Set(ids))
	})

	it('resume a client on another instance', async () => {
		const namespace = randomUUID()
		const one = await startInstance(redis(), { namespace })
		const two = await startInstance(redis(), { namespace })
		const client = await one.listen(['x', 'y'])
		await one.manager.send('x', { data: '1' })
		await one.manager.send('y', { data: '2' })
		const { id } = await client.next(({ data }) => data === '1')
		client.close()
		await two.manager.send('x', { data: '3' })
		const again = await two.listen(['x', 'y'], id)
		await one.manager.send('y', { data: '4' })
		await until(() => dataOf(again).length === 3)
		expect(dataOf(again)).toEqual(['2', '3', '4'])
	})

	it('resume a client that was cut before its first message', async () => {
		const namespace = randomUUID()
		const one = await startInstance(redis(), { namespace })
		const client = await one.listen(['x'])
		const { id } = client.events[0] ?? {}
		client.close()
		await one.manager.send('x', { data: '1' })
		const again = await one.listen(['x'], id)
		await until(() => dataOf(again).length === 1)
		expect(dataOf(again)).toEqual(['1'])
	})

	it('leave out one stream, on whichever instance it is', async () => {
		const namespace = randomUUID()
		const one = await startInstance(redis(), { namespace })
		const two = await startInstance(redis(), { namespace })
		const ids: string[] = []
		const { manager } = two
		const create = manager.createStream.bind(manager)
		manager.createStream = (...args) => {
			const stream = create(...args)
			ids.push(stream.id)
			return stream
		}
		const [left, other] = [await two.listen(['x']), await two.listen(['x'])]
		const [except = ''] = ids
		await one.manager.send('x', { data: 'secret' }, { except })
		await one.manager.send('x', { data: 'all' })
		await left.next(({ data }) => data === 'all')
		await other.next(({ data }) => data === 'all')
		expect(dataOf(left)).toEqual(['all'])
		expect(dataOf(other)).toEqual(['secret', 'all'])

		expect(await one.manager.to(except, { event: 'direct', data: 'you' })).toBe(false)
		expect(await two.manager.to(except, { event: 'direct', data: 'again' })).toBe(true)
		await until(() => left.events.filter(({ event }) => event === 'direct').length === 2)
		expect(other.events.some(({ event }) => event === 'direct')).toBe(false)
	})

	it('refuse a filter, which other instances could not apply', async () => {
		const { manager } = await startInstance(redis())
		expect(() => manager.send('x', { data: '1' }, { filter: () => true })).toThrow(TypeError)
	})

	it('work without history: no ids, the own ones pass', async () => {
		const namespace = randomUUID()
		const one = await startInstance(redis(), { namespace, history: undefined })
		const two = await startInstance(redis(), { namespace, history: undefined })
		const client = await two.listen(['x'], '')
		// Nothing tells a client without history when it begins to receive, so look for the first message that arrives.
		await until(async () => {
			await one.manager.send('x', { data: 'early' })
			return client.events.length > 0
		})
		await one.manager.send('x', { data: '1', id: 'mine' })
		await one.manager.send('x', { data: '2' })
		await client.next(({ data }) => data === '2')
		expect(client.events.filter(({ data }) => data !== 'early')).toEqual([
			{ event: 'message', id: 'mine', data: '1' },
			{ event: 'message', id: undefined, data: '2' },
		])
	})

	it('behave towards clients as without an adapter', async () => {
		const alone = new EvStreamManager({ history: { size: 3 } })
		const instance = await startInstance(redis(), { history: { size: 3 } })
		const seen: unknown[] = []
		for (const manager of [alone, instance.manager]) {
			const first = await manager.send('x', { data: 0 })
			for (let n = 1; n < 6; n++)
				await manager.send(n % 2 === 0 ? 'x' : 'y', { event: 'e', data: { n }, retry: n })
			const { epoch, seq } = split(first)
			const listen = await serve(manager)
			const runs: unknown[] = []
			for (const id of [
				first,
				`${epoch}-${seq + 2}`,
				`${epoch}-${seq + 5}`,
				`${epoch}-${seq + 9}`,
				'zzz',
				'q-1',
			]) {
				const client = await listen(id)
				await until(() => client.events.length > 0 || client.comments.length > 0)
				runs.push(client.events.map((event) => ({ ...event, id: split(event.id).seq - seq })))
			}
			seen.push(runs)
		}
		await alone.close()
		expect(seen[1]).toEqual(seen[0])
	})

	it('cost Redis nothing once nobody listens', async () => {
		const namespace = randomUUID()
		const { listen, manager } = await startInstance(redis(), { namespace })
		const look = lookInto(redis())
		const pattern = `{${namespace}}:0:channel:*`
		const client = await listen(['x', 'y'])
		expect(await look.pubsub('CHANNELS', pattern)).toHaveLength(2)
		client.close()
		await until(async () => (await look.pubsub('CHANNELS', pattern)).length === 0)
		expect(manager.stats()).toMatchObject({ channels: 0, listeners: 0 })
	})

	// The embedded server takes seconds for a batch of so many channels.
	it.skipIf(tooSlow)('come and go by the thousand without growth', async () => {
		const namespace = randomUUID()
		const { manager } = await startInstance(redis(), { namespace, history: { size: 10, ttl: 50 } })
		const look = lookInto(redis())
		for (let part = 0; part < 10; part++) {
			await Promise.all(
				Array.from({ length: 1_000 }, (_, n) => manager.send(`c${part * 1_000 + n}`, { data: '1' })),
			)
		}
		await until(async () => (await look.keys(`{${namespace}}:channel:*`)).length === 0, { timeout: 10_000 })
		expect((await look.keys(`{${namespace}}:*`)).length).toBeLessThan(5)
		expect(manager.stats().channels).toBe(0)
	})
})

function split(id: string | undefined): { epoch: string; seq: number } {
	const [epoch = '', seq = ''] = (id ?? '').split('-')
	return { epoch, seq: Number(seq) }
}

async function serve(manager: EvStreamManager) {
	const server = await listenHttp((req, res) => {
		const stream = manager.createStream(req, res)
		stream.listen('x')
		stream.listen('y')
	})
	onTestFinished(() => server.close())
	return (lastEventId = '') => openSse(server.url, { headers: { 'last-event-id': lastEventId } })
}

import { openSse, type SseClient, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { FakeAdapter } from './support/streams-log.js'
import { messagesOf } from './support/streams-model.js'
import { type Served, serve } from './support/streams-server.js'

const MISSED = ['a1', 'b2', 'a3', 'b4']

/** A manager on a fake adapter whose log has {@link MISSED}, each on the channel it begins with. */
async function remote(): Promise<
	Served & { adapter: FakeAdapter; publish(data: string): void; open(): Promise<SseClient> }
> {
	const adapter = new FakeAdapter()
	const served = await serve({ adapter, history: { size: 5_000 } })
	const publish = (data: string): void => void adapter.append(data.slice(0, 1), `data:${data}\n\n`)
	for (const data of MISSED) publish(data)
	const { epoch } = adapter.store.position
	const open = (): Promise<SseClient> =>
		openSse(`${served.url}/?channel=a&channel=b`, { headers: { 'last-event-id': `${epoch}-0` } })
	return { ...served, adapter, publish, open }
}

describe('a log that fails during a replay', () => {
	it('closes the stream and reports the error', async () => {
		const { adapter, open, errors, manager } = await remote()
		adapter.failure = new Error('The store is away')
		const client = await open()
		await client.closed
		// Neither a position, which would hide what was missed, nor a good-bye.
		expect(client.events).toEqual([])
		expect(errors).toEqual([adapter.failure])
		expect(manager.stats()).toMatchObject({ connections: 0, listeners: 0 })
		adapter.failure = undefined
		const again = await open()
		await again.next(({ data }) => data === 'b4')
		expect(messagesOf(again)).toEqual(MISSED)
	})
})

describe('unlisten during a replay', () => {
	it('gives nothing more of that channel, and everything of the others', async () => {
		const { adapter, open, streams, publish } = await remote()
		adapter.answers.hold()
		const client = await open()
		const { stream } = await streams.next()
		await until(() => adapter.answers.size === 1)
		publish('a5')
		publish('b6')
		stream.unlisten('a')
		publish('a7')
		adapter.answers.open()
		await client.next(({ data }) => data === 'b6')
		publish('b8')
		await client.next(({ data }) => data === 'b8')
		expect(messagesOf(client)).toEqual(['b2', 'b4', 'b6', 'b8'])
	})

	it('of all channels ends it', async () => {
		const { adapter, open, streams, publish, manager } = await remote()
		adapter.answers.hold()
		const client = await open()
		const { stream } = await streams.next()
		await until(() => adapter.answers.size === 1)
		stream.unlisten('a')
		stream.unlisten('b')
		publish('a5')
		adapter.answers.open()
		await new Promise(setImmediate)
		stream.message({ data: 'still here' })
		await client.next(({ data }) => data === 'still here')
		expect(messagesOf(client)).toEqual(['still here'])
		expect(manager.stats()).toMatchObject({ connections: 1, channels: 0, listeners: 0 })
		expect(adapter.subscribed.size).toBe(0)
	})

	it('and listening again in the tick of the first listen gives everything', async () => {
		const { adapter, url, streams } = await remote()
		const { epoch } = adapter.store.position
		const client = await openSse(url, { headers: { 'last-event-id': `${epoch}-0` } })
		const { stream } = await streams.next()
		stream.listen('a')
		stream.unlisten('a')
		stream.listen('a')
		stream.listen('b')
		await client.next(({ data }) => data === 'b4')
		expect(messagesOf(client)).toEqual(MISSED)
	})

	it('and listening again gives each message once', async () => {
		const { adapter, open, streams, publish } = await remote()
		adapter.answers.hold()
		const client = await open()
		const { stream } = await streams.next()
		await until(() => adapter.answers.size === 1)
		stream.unlisten('a')
		stream.listen('a')
		await new Promise(setImmediate)
		publish('a5')
		adapter.answers.open()
		await client.next(({ data }) => data === 'a5')
		publish('b6')
		await client.next(({ data }) => data === 'b6')
		expect(messagesOf(client).toSorted()).toEqual(['a1', 'a3', 'a5', 'b2', 'b4', 'b6'])
	})
})

describe('a stream that leaves during a replay', () => {
	it('leaves nothing behind', async () => {
		const { adapter, open, streams, publish, manager, errors } = await remote()
		adapter.answers.hold()
		const client = await open()
		const { stream } = await streams.next()
		await until(() => adapter.answers.size === 1)
		client.close()
		await until(() => stream.closed)
		publish('a5')
		adapter.answers.open()
		await new Promise(setImmediate)
		expect(manager.stats()).toMatchObject({ connections: 0, channels: 0, listeners: 0, bufferedBytes: 0 })
		expect(adapter.subscribed.size).toBe(0)
		expect(errors).toEqual([])
	})
})

describe('a channel with a provider', () => {
	it('gives a stream that is still joining the snapshot and each broadcast, before what it missed', async () => {
		const { adapter, open, manager } = await remote()
		const source = manager.provide('a', { snapshot: () => ({ data: 'snapshot' }) })
		adapter.answers.hold()
		const client = await open()
		await until(() => adapter.answers.size === 1)
		source.broadcast({ data: 'broadcast' })
		await client.next(({ data }) => data === 'broadcast')
		expect(client.events.map(({ id, data }) => ({ id, data }))).toEqual([
			{ id: undefined, data: 'snapshot' },
			{ id: undefined, data: 'broadcast' },
		])
		adapter.answers.open()
		await client.next(({ data }) => data === 'b4')
		expect(messagesOf(client)).toEqual(['snapshot', 'broadcast', ...MISSED])
	})
})

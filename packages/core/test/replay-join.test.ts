import { openSse, type SseClient } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { EvStreamManager } from '../src/index.js'
import { FakeAdapter } from './support/streams-log.js'
import { messagesOf, seqOf } from './support/streams-model.js'
import { serve } from './support/streams-server.js'
import { nextTurn } from './support/streams-slow.js'

/** A manager on a fake adapter, and a client that is live on `a` and `b`. */
async function remote() {
	const adapter = new FakeAdapter()
	const served = await serve({ adapter, history: { size: 100 } })
	const publish = (data: string) => adapter.append(data.slice(0, 1), `data:${data}\n\n`)
	const other = await openSse(`${served.url}/?channel=a&channel=b`)
	await served.streams.next()
	await other.next('position')
	publish('a1')
	publish('b2')
	await other.next(({ data }) => data === 'b2')
	const open = async (lastEventId?: string) => {
		const headers: Record<string, string> = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
		const client = await openSse(served.url, { headers })
		return { client, stream: (await served.streams.next()).stream }
	}
	return { ...served, adapter, publish, open }
}

/** The `seq` of everything that a client was told. */
function seqsOf({ events }: SseClient): number[] {
	return events.flatMap(({ id }) => (id === undefined ? [] : [seqOf(id)]))
}

describe('a newcomer', () => {
	it('becomes a listener of a channel that is added while its replay waits for it', async () => {
		const manager = new EvStreamManager({ history: { size: 100 }, maxBuffer: 1_000 })
		await manager.send('a', { data: 'a1'.padEnd(100_000) })
		const { stream, response } = manager.createResponse(new Request('http://localhost/'))
		stream.listen('a', { last: 1 })
		await nextTurn()
		// It was written all that was missed, has read none of it, and has yet to be told its position.
		stream.listen('b')
		const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
		let text = ''
		const readTo = async (end: string): Promise<void> => {
			while (!text.includes(end)) text += (await reader?.read())?.value ?? ''
		}
		await readTo('event:position')
		await manager.send('b', { data: 'b2' })
		await readTo('b2')
		expect(text.match(/a1/g)).toHaveLength(1)
		await manager.close()
	})

	it('sees no id fall when it leaves a channel in its first tick', async () => {
		const { adapter, open, publish } = await remote()
		adapter.subscriptions.hold()
		const { client, stream } = await open()
		stream.listen('b')
		stream.listen('c')
		publish('b3')
		stream.unlisten('b')
		adapter.subscriptions.open()
		await client.next('position')
		publish('c4')
		await client.next(({ data }) => data === 'c4')
		const seqs = seqsOf(client)
		expect(seqs).toEqual(seqs.toSorted((one, two) => one - two))
	})

	it('begins in the epoch that the log counts in after a restart', async () => {
		const { adapter, open, publish } = await remote()
		adapter.restart()
		const { client, stream } = await open()
		stream.listen('a')
		stream.listen('b')
		const { id } = await client.next('position')
		expect(id).toBe(`${adapter.store.position.epoch}-0`)
		publish('b1')
		await client.next(({ data }) => data === 'b1')
	})

	it('is told once of a restart, however many channels it listens to', async () => {
		const { adapter, open, publish } = await remote()
		const { client, stream } = await open()
		stream.listen('a')
		stream.listen('b')
		await client.next('position')
		adapter.restart()
		publish('b1')
		await client.next(({ data }) => data === 'b1')
		expect(client.events.filter(({ event }) => event === 'reset')).toHaveLength(1)
	})
})

describe('a client that comes back', () => {
	it('loses nothing of a channel that it leaves in its first tick and listens to again later', async () => {
		const { adapter, open, publish } = await remote()
		const { epoch } = adapter.store.position
		const { client, stream } = await open(`${epoch}-0`)
		stream.listen('b')
		stream.listen('a')
		stream.unlisten('a')
		await client.next('position')
		stream.listen('a')
		await client.next(({ data }) => data === 'a1')
		publish('a3')
		await client.next(({ data }) => data === 'a3')
		expect(messagesOf(client)).toEqual(['b2', 'a1', 'a3'])
	})
})

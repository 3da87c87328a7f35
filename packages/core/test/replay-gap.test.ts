import { openSse, type SseClient, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import type { LogEntry } from '../src/index.js'
import { FakeAdapter } from './support/streams-log.js'
import { messagesOf } from './support/streams-model.js'
import { serve } from './support/streams-server.js'

/** A manager on a fake adapter, whose log has the entries 1 to 4 on `a` and `b`. */
async function remote(size = 100) {
	const adapter = new FakeAdapter()
	const served = await serve({ adapter, history: { size } })
	const publish = (channel: string, data: string) => adapter.append(channel, `data:${data}\n\n`)
	for (const [channel, data] of [
		['a', 'a1'],
		['b', 'b2'],
		['a', 'a3'],
		['b', 'b4'],
	] as const)
		publish(channel, data)
	const { epoch } = adapter.store.position
	const open = (after: number, ...channels: string[]): Promise<SseClient> =>
		openSse(`${served.url}/?${channels.map((channel) => `channel=${channel}`).join('&')}`, {
			headers: { 'last-event-id': `${epoch}-${after}` },
		})
	return { ...served, adapter, publish, epoch, open }
}

describe('a stream whose pages reached further than its instance', () => {
	it('reads the log again where the instance lost more, and gets nothing twice', async () => {
		const { adapter, publish, open, epoch } = await remote()
		const other = await open(4, 'a', 'b')
		await other.next('position')
		adapter.deliveries.hold()
		publish('b', 'b5')
		publish('b', 'b6')
		const client = await open(2, 'a', 'b')
		await client.next(({ data }) => data === 'b6')
		// The instance finds that entries of `a` are gone; it goes on there after 8, and delivers what came of `b`.
		adapter.receiver.reset('a', { epoch, seq: 8 }, 'gap')
		adapter.deliveries.step(2)
		publish('b', 'b7')
		adapter.deliveries.open()
		await client.next(({ data }) => data === 'b7')
		// The log still has what the instance lost.
		expect(client.events.filter(({ event }) => event === 'reset')).toEqual([])
		expect(messagesOf(client).filter((data) => data.startsWith('b'))).toEqual(['b4', 'b5', 'b6', 'b7'])
	})

	it('does not get again what comes late from an epoch that is over', async () => {
		const { adapter, publish, open } = await remote()
		const late = (seq: number): LogEntry => ({
			channel: 'a',
			epoch: 'over',
			seq,
			prev: seq - 1,
			payload: `data:late${seq}\n\n`,
		})
		const other = await open(4, 'a')
		await until(() => adapter.subscribed.has('a'))
		await other.next('position')
		adapter.receiver.deliver(late(2))
		await other.next(({ data }) => data === 'late2')
		// The page is of the epoch after that, and has what is still on its way here.
		const client = await open(2, 'a')
		await client.next(({ data }) => data === 'a3')
		await client.next('position')
		adapter.receiver.deliver(late(3))
		publish('a', 'a5')
		await client.next(({ data }) => data === 'a5')
		expect(messagesOf(client)).toEqual(['a3', 'a5'])
	})
})

describe('a page that is remembered', () => {
	it('is not given to one who comes after the instance stopped following the channel', async () => {
		const { adapter, publish, open } = await remote()
		const first = await open(2, 'a')
		await first.next(({ data }) => data === 'a3')
		first.close()
		await until(() => !adapter.subscribed.has('a'))
		publish('a', 'a5')
		const second = await open(2, 'a')
		publish('a', 'a6')
		await second.next(({ data }) => data === 'a6')
		expect(messagesOf(second)).toEqual(['a3', 'a5', 'a6'])
	})
})

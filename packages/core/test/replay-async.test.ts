import { openSse, type SseClient, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { FakeAdapter } from './support/streams-log.js'
import { findHole, messagesOf, seqOf } from './support/streams-model.js'
import { type Served, serve } from './support/streams-server.js'

interface Remote extends Served {
	readonly adapter: FakeAdapter
	/** Sends as another instance would. */
	publish(channel: string, ...data: string[]): void
	/** A client at `a` and `b`, with what it has seen before. */
	open(after?: number): Promise<SseClient>
	/** What a client missed or saw twice. */
	hole(client: SseClient, after: number, ...channels: string[]): string | undefined
}

/** A manager on a fake adapter, whose log has the entries 1 to 4 on `a` and `b`. */
async function remote(size = 5_000): Promise<Remote> {
	const adapter = new FakeAdapter()
	const served = await serve({ adapter, history: { size } })
	const sent: { id: string; channel: string; data: string }[] = []
	const publish = (channel: string, ...data: string[]): void => {
		for (const one of data) {
			const { epoch, seq } = adapter.append(channel, `data:${one}\n\n`)
			sent.push({ id: `${epoch}-${seq}`, channel, data: one })
		}
	}
	publish('a', 'a1')
	publish('b', 'b2')
	publish('a', 'a3')
	publish('b', 'b4')
	const { epoch } = adapter.store.position
	return {
		...served,
		adapter,
		publish,
		open: (after) =>
			openSse(`${served.url}/?channel=a&channel=b`, {
				headers: after === undefined ? {} : { 'last-event-id': `${epoch}-${after}` },
			}),
		hole: (client, after, ...channels) =>
			findHole(
				sent.filter(({ channel }) => channels.includes(channel)),
				[[{ event: 'position', id: `${epoch}-${after}`, data: '' }, ...client.events]],
			),
	}
}

describe('live messages during a replay', () => {
	it('wait for it, and are neither lost nor doubled', async () => {
		const { adapter, open, publish, hole } = await remote()
		adapter.answers.hold()
		const client = await open(1)
		await until(() => adapter.answers.size === 1)
		publish('a', 'a5', 'a6')
		publish('b', 'b7')
		expect(client.events).toEqual([])
		adapter.answers.open()
		await client.next(({ data }) => data === 'b7')
		publish('a', 'a8')
		await client.next(({ data }) => data === 'a8')
		expect(messagesOf(client)).toEqual(['b2', 'a3', 'b4', 'a5', 'a6', 'b7', 'a8'])
		expect(hole(client, 1, 'a', 'b')).toBeUndefined()
	})

	it('are skipped when the page has them already', async () => {
		const { adapter, open, publish } = await remote()
		adapter.reads.hold()
		const client = await open(3)
		await until(() => adapter.reads.size === 1)
		publish('a', 'a5', 'a6')
		adapter.reads.open()
		await client.next(({ data }) => data === 'a6')
		publish('a', 'a7')
		await client.next(({ data }) => data === 'a7')
		expect(messagesOf(client)).toEqual(['b4', 'a5', 'a6', 'a7'])
	})

	it('are skipped when they are delivered after the page that has them', async () => {
		const { adapter, open, publish, hole } = await remote()
		adapter.deliveries.hold()
		adapter.reads.hold()
		const client = await open(3)
		await until(() => adapter.reads.size === 1)
		publish('a', 'a5')
		publish('b', 'b6')
		adapter.reads.open()
		await client.next(({ data }) => data === 'b6')
		publish('a', 'a7')
		publish('b', 'b8')
		adapter.deliveries.step(1)
		adapter.deliveries.step(1)
		adapter.deliveries.step(1)
		await client.next(({ data }) => data === 'a7')
		adapter.deliveries.open()
		await client.next(({ data }) => data === 'b8')
		expect(messagesOf(client)).toEqual(['b4', 'a5', 'b6', 'a7', 'b8'])
		expect(hole(client, 3, 'a', 'b')).toBeUndefined()
	})

	it('are read again from the log when they are more than it holds', async () => {
		const { adapter, open, publish, hole } = await remote()
		adapter.answers.hold()
		const client = await open(1)
		await until(() => adapter.answers.size === 1)
		publish('a', ...Array.from({ length: 1_500 }, (_, n) => `more ${n}`))
		adapter.answers.open()
		await client.next(({ data }) => data === 'more 1499')
		publish('b', 'live')
		await client.next(({ data }) => data === 'live')
		expect(messagesOf(client)).toHaveLength(3 + 1_500 + 1)
		expect(hole(client, 1, 'a', 'b')).toBeUndefined()
		expect(adapter.readCount).toBeGreaterThan(1)
	})

	it('that were lost to the instance are read from the log', async () => {
		const { adapter, open, publish, hole } = await remote()
		adapter.answers.hold()
		const client = await open(1)
		await until(() => adapter.answers.size === 1)
		publish('a', 'held')
		adapter.deliveries.hold()
		publish('a', 'lost 1', 'lost 2')
		adapter.receiver.reset('a', adapter.store.position, 'gap')
		adapter.answers.open()
		await client.next(({ data }) => data === 'lost 2')
		expect(hole(client, 1, 'a', 'b')).toBeUndefined()
		expect(client.events.some(({ event }) => event === 'reset')).toBe(false)
	})
})

describe('a newcomer to a log that answers late', () => {
	it('gets everything after the position it is told', async () => {
		const { adapter, open, publish, hole } = await remote()
		adapter.subscriptions.hold()
		const client = await open()
		publish('a', 'before')
		adapter.subscriptions.step(1)
		publish('a', 'between')
		adapter.subscriptions.open()
		publish('b', 'after')
		const { id } = await client.next('position')
		publish('a', 'last')
		await client.next(({ data }) => data === 'last')
		expect(seqOf(id)).toBeGreaterThanOrEqual(5)
		// What came since its channel was followed may come before the position.
		const [first] = client.events
		const start = first?.event === 'position' ? seqOf(first.id) : seqOf(first?.id) - 1
		expect(hole(client, start, 'a', 'b')).toBeUndefined()
	})

	it('shares what the instance has, though another listener joined before', async () => {
		const { adapter, open, publish, hole } = await remote()
		const one = await open()
		await one.next('position')
		publish('a', 'a5')
		await one.next(({ data }) => data === 'a5')
		adapter.deliveries.hold()
		publish('a', 'a6')
		const two = await open()
		const { id } = await two.next('position')
		publish('b', 'b7')
		adapter.deliveries.open()
		for (const client of [one, two]) await client.next(({ data }) => data === 'b7')
		expect(hole(one, 4, 'a', 'b')).toBeUndefined()
		expect(hole(two, seqOf(id), 'a', 'b')).toBeUndefined()
	})
})

describe('a log that loses everything during a replay', () => {
	it('makes the client start anew, with one reset', async () => {
		const { adapter, open, publish } = await remote()
		adapter.reads.hold()
		const client = await open(1)
		await until(() => adapter.reads.size === 1)
		adapter.restart()
		adapter.reads.open()
		const reset = await client.next('reset')
		publish('a', 'new 1')
		publish('b', 'new 2')
		await client.next(({ data }) => data === 'new 2')
		expect(reset).toMatchObject({ id: `${adapter.store.position.epoch}-0`, data: '{"reason":"epoch"}' })
		expect(messagesOf(client)).toEqual(['new 1', 'new 2'])
		expect(client.events.filter(({ event }) => event === 'reset')).toHaveLength(1)
	})

	it('does not pass off old entries as new ones when the page was of the old epoch', async () => {
		const { adapter, open, publish } = await remote()
		adapter.answers.hold()
		const client = await open(3)
		await until(() => adapter.answers.size === 1)
		adapter.restart()
		publish('a', 'new 1')
		adapter.answers.open()
		await client.next('reset')
		publish('a', 'new 2')
		await client.next(({ data }) => data === 'new 2')
		const { epoch } = adapter.store.position
		const at = client.events.findIndex(({ event }) => event === 'reset')
		expect(client.events[at]?.id).toBe(`${epoch}-1`)
		expect(client.events.slice(at + 1).map(({ data }) => data)).toEqual(['new 2'])
		expect(messagesOf({ events: client.events.slice(0, at) })).toEqual(['b4'])
	})
})

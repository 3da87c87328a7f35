import { openSse, type SseClient, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { FakeAdapter } from './support/streams-log.js'
import { messagesOf } from './support/streams-model.js'
import { serve } from './support/streams-server.js'

/** A manager on a fake adapter that can say that it has delivered everything. */
async function remote(history: { size: number } | undefined = { size: 100 }) {
	const adapter = new FakeAdapter()
	const served = await serve({ adapter, history })
	return {
		...served,
		adapter,
		publish: (channel: string, data: string) => adapter.append(channel, `data:${data}\n\n`),
		open: (channels: readonly string[], lastEventId?: string): Promise<SseClient> =>
			openSse(`${served.url}/?${channels.map((channel) => `channel=${channel}`).join('&')}`, {
				headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId },
			}),
		caughtUp: () => adapter.receiver.caughtUp?.(adapter.store.position),
	}
}

describe('an instance that was told that it has delivered everything', () => {
	it('tells a newcomer of that position, although nothing was delivered', async () => {
		const { adapter, publish, open, caughtUp } = await remote()
		const first = await open(['silent'])
		await first.next('position')
		for (let n = 0; n < 5; n++) publish('busy', `${n}`)
		caughtUp()
		const { epoch } = adapter.store.position
		const newcomer = await open(['silent'])
		expect(await newcomer.next('position')).toMatchObject({ id: `${epoch}-5` })
		publish('silent', 'next')
		await newcomer.next(({ data }) => data === 'next')
		await first.next(({ data }) => data === 'next')
	})

	it('lets a stream be live whose page had reached further', async () => {
		const { adapter, publish, open, caughtUp } = await remote()
		const other = await open(['a'])
		await other.next('position')
		const { epoch } = publish('busy', '1')
		publish('busy', '2')
		const client = await open(['a'], `${epoch}-0`)
		expect(await client.next('position')).toMatchObject({ id: `${epoch}-2` })
		caughtUp()
		// Only what a live stream gets needs no replay.
		const { readCount } = adapter
		publish('busy', '3')
		adapter.receiver.reset('a', { epoch, seq: 3 }, 'gap')
		expect(await client.next('reset')).toMatchObject({ id: `${epoch}-3` })
		expect(adapter.readCount).toBe(readCount)
	})

	it('does not go back, and takes a position of another epoch', async () => {
		const { adapter, publish, open } = await remote()
		const first = await open(['a'])
		await first.next('position')
		for (let n = 0; n < 3; n++) publish('a', `${n}`)
		await first.next(({ data }) => data === '2')
		const { epoch } = adapter.store.position
		const told = async (): Promise<string | undefined> => (await (await open(['a'])).next('position')).id
		adapter.receiver.caughtUp?.({ epoch, seq: 1 })
		expect(await told()).toBe(`${epoch}-3`)
		adapter.receiver.caughtUp?.({ epoch: 'later', seq: 9 })
		expect(await told()).toBe('later-9')
	})
})

describe('a reset of many channels at one position', () => {
	it('is told to each stream once', async () => {
		for (const history of [{ size: 100 }, undefined]) {
			const { adapter, manager, publish, open } = await remote(history)
			const channels = ['a', 'b', 'c']
			const client = await open(channels, history === undefined ? '' : undefined)
			await until(() => channels.every((channel) => adapter.subscribed.has(channel)))
			publish('a', 'before')
			await client.next(({ data }) => data === 'before')
			const { epoch, seq } = publish('busy', '1')
			const position = { epoch, seq }
			for (const channel of channels) adapter.receiver.reset(channel, position, 'gap')
			publish('a', 'after')
			await client.next(({ data }) => data === 'after')
			expect(client.events.filter(({ event }) => event === 'reset')).toHaveLength(1)
			expect(manager.stats().resets).toBe(1)
			// Another outage is told again.
			adapter.receiver.reset('a', { epoch, seq: 3 }, 'gap')
			await until(() => client.events.filter(({ event }) => event === 'reset').length === 2)
			expect(messagesOf(client)).toContain('after')
		}
	})
})

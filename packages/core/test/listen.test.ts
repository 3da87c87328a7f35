import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { connect } from './support/serve.js'
import { serve } from './support/streams-server.js'
import { holdSocket, nextTurn } from './support/streams-slow.js'

const BIG = 'x'.repeat(20_000)

/** Two clients: bytes wait for the first one, which takes nothing; the other reads. */
async function slowAndFast(options: { history?: { size: number } }) {
	const served = await serve({ ...options, maxBuffer: 10_000 })
	const first = await connect(served.url)
	const slow = await served.streams.next()
	await first.next('position', 100).catch(() => {})
	holdSocket(slow.res)
	// More than half of its budget waits already when the next turn begins.
	slow.stream.message({ data: 'w'.repeat(6_000) })
	await until(() => served.manager.stats().bufferedBytes > 0)
	const client = await connect(served.url)
	const { stream } = await served.streams.next()
	// It is two turns later that what waits is what the client did not take.
	slow.stream.message({ data: '' })
	for (let turn = 0; turn < 4; turn++) await nextTurn()
	return { ...served, slow: slow.stream, stream, client }
}

describe.each([{}, { history: { size: 10 } }])(
	'a listen that finds its own client too slow (%j)',
	(options) => {
		it('by the messages of this tick leaves no listener behind', async () => {
			const { manager, slow, stream, client } = await slowAndFast(options)
			stream.listen('a')
			stream.listen('b')
			slow.listen('a')
			manager.send('a', { event: 'sent', data: BIG })
			slow.listen('b')
			expect(slow.closed).toBe(true)
			await client.next('sent')
			expect(manager.stats()).toMatchObject({ connections: 1, listeners: 2, slowDisconnects: 1 })
		})

		it('tells onClose the channels it did listen to, each once', async () => {
			const { manager, slow } = await slowAndFast(options)
			const told: string[][] = []
			slow.onClose((channels) => void told.push(channels))
			slow.listen('a')
			slow.listen('b')
			manager.send('b', { data: BIG })
			slow.listen('c')
			expect(told).toEqual([['a', 'b']])
		})
	},
)

describe('a snapshot for a client that is behind', () => {
	it('waits until the client has caught up, and does not make it slow', async () => {
		const { manager, url, streams } = await serve({ maxBuffer: 10_000 })
		const client = await connect(url)
		const { stream, res } = await streams.next()
		manager.provide('a', { snapshot: () => ({ event: 'snapshot', data: BIG }) })
		const release = holdSocket(res)
		stream.message({ data: 'w'.repeat(6_000) })
		await until(() => manager.stats().bufferedBytes > 6_000)
		stream.listen('a')
		expect(manager.stats()).toMatchObject({ connections: 1, listeners: 1, slowDisconnects: 0 })
		expect(manager.stats().bufferedBytes).toBeLessThan(10_000)
		release()
		await client.next('snapshot')
	})
})

describe.each([{}, { history: { size: 10 } }])('a listen (%j)', (options) => {
	it('gets what comes later although the only other listener was cut by it', async () => {
		const { manager, slow, stream, client } = await slowAndFast(options)
		slow.listen('a')
		manager.send('a', { event: 'before', data: BIG })
		stream.listen('a')
		expect(slow.closed).toBe(true)
		manager.send('a', { event: 'after', data: '' })
		await client.next('after')
		expect(client.events.map(({ event }) => event)).not.toContain('before')
		expect(manager.stats()).toMatchObject({ channels: 1, listeners: 1 })
	})

	it('whose snapshot throws throws that, and did not take place', async () => {
		const { manager, slow, stream, client } = await slowAndFast(options)
		let broken = true
		manager.provide('a', {
			snapshot() {
				if (broken) throw new Error('no snapshot')
				return { event: 'snapshot', data: '' }
			},
		})
		expect(() => stream.listen('a')).toThrow('no snapshot')
		expect(manager.stats().listeners).toBe(0)
		broken = false
		stream.listen('a')
		await client.next('snapshot')
		expect(manager.stats().listeners).toBe(1)
		const told: string[][] = []
		stream.close((channels) => void told.push(channels))
		expect(told).toEqual([['a']])
		slow.close()
	})
})

describe('to', () => {
	it.each(['-1', ' ', '.', '!'])('takes no id that only begins like one (%j)', async (more) => {
		const { manager, url, streams } = await serve()
		await connect(url)
		const { stream } = await streams.next()
		expect(await manager.to(stream.id, { data: '' })).toBe(true)
		expect(await manager.to(stream.id + more, { data: '' })).toBe(false)
		expect(await manager.to(stream.id.toUpperCase(), { data: '' })).toBe(
			stream.id === stream.id.toUpperCase(),
		)
	})
})

describe('a send in the tick of a listen', () => {
	it('that excepts the stream is not shown to it by its replay', async () => {
		const { manager, url } = await serve(
			{ history: { size: 10 } },
			{
				onStream(stream) {
					stream.listen('a')
					manager.send('a', { event: 'own', data: '' }, { except: stream.id })
					manager.send('a', { event: 'end', data: '' })
				},
			},
		)
		const start = await manager.send('other', { data: '' })
		const client = await connect(url, { headers: { 'last-event-id': start ?? '' } })
		await client.next('end')
		expect(client.events.map(({ event }) => event)).not.toContain('own')
	})
})

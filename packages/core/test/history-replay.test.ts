import { openSse, type SseClient, type SseEvent, until } from '@evstream/testkit'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FakeAdapter } from './support/streams-log.js'
import { findHole, lastIdOf, messagesOf, type Sent, seqOf } from './support/streams-model.js'
import { type Served, serve } from './support/streams-server.js'

function comeBack(url: string, id: string | undefined): Promise<SseClient> {
	return openSse(url, { headers: id === undefined ? {} : { 'last-event-id': id } })
}

describe('a replay', () => {
	it('leaves out what except and filter kept from the stream', async () => {
		const { url, manager, streams, errors } = await serve({ history: { size: 100 } })
		const path = `${url}/?channel=a`
		const first = await comeBack(path, undefined)
		const { id } = await first.next('position')
		const { stream } = await streams.next()
		manager.send('a', { data: 'all 1' })
		manager.send('a', { data: 'not the first' }, { except: stream.id })
		manager.send('a', { data: 'only the first' }, { filter: (other) => other === stream })
		manager.send(
			'a',
			{ data: 'nobody' },
			{
				filter: () => {
					throw new Error('The filter is broken')
				},
			},
		)
		await manager.send('a', { data: 'all 2' })
		await first.next(({ data }) => data === 'all 2')
		const second = await comeBack(path, id)
		await second.next(({ data }) => data === 'all 2')
		const third = await comeBack(path, id)
		await third.next(({ data }) => data === 'all 2')
		expect(messagesOf(first)).toEqual(['all 1', 'only the first', 'all 2'])
		expect(messagesOf(second)).toEqual(['all 1', 'not the first', 'all 2'])
		expect(messagesOf(third)).toEqual(['all 1', 'not the first', 'all 2'])
		expect(errors.map(String)).toEqual(Array(3).fill('Error: The filter is broken'))
	})

	it('tells a client that may see none of what it missed where it stands', async () => {
		const { url, manager } = await serve({ history: { size: 100 } })
		const path = `${url}/?channel=a`
		const first = await comeBack(path, undefined)
		const { id } = await first.next('position')
		const hidden = await manager.send('a', { data: 'secret' }, { filter: () => false })
		const second = await comeBack(path, id)
		expect(await second.next()).toEqual({ event: 'position', id: hidden, data: '' })
	})
})

type Step = { kind: 'send'; channel: string; times: number } | { kind: 'cut' } | { kind: 'return' }

const steps = (): fc.Arbitrary<Step[]> =>
	fc.array(
		fc.oneof(
			{
				weight: 4,
				arbitrary: fc.record({
					kind: fc.constant('send' as const),
					channel: fc.constantFrom('a', 'b', 'other'),
					times: fc.integer({ min: 1, max: 6 }),
				}),
			},
			{ weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const) }) },
			{ weight: 2, arbitrary: fc.record({ kind: fc.constant('return' as const) }) },
		),
		{ maxLength: 30 },
	)

/** Plays the steps against one client that listens to `a` and `b`; gives what was sent to them and what it saw. */
async function play(
	{ url, manager }: Served,
	plan: readonly Step[],
): Promise<[Sent[], (readonly SseEvent[])[]]> {
	const path = `${url}/?channel=a&channel=b`
	const sent: Sent[] = []
	const connections: (readonly SseEvent[])[] = []
	let client: SseClient | undefined
	let last: string | undefined
	const open = async (): Promise<SseClient> => {
		const opened = await comeBack(path, last)
		connections.push(opened.events)
		return opened
	}
	const cut = async (): Promise<void> => {
		client?.close()
		await client?.closed
		last = client === undefined ? last : (lastIdOf(client.events) ?? last)
		client = undefined
	}
	client = await open()
	await client.next('position')
	for (const step of plan) {
		if (step.kind === 'cut') await cut()
		else if (step.kind === 'return') {
			// One that comes back while the old connection still stands is what a browser behind a dead line does.
			await cut()
			client = await open()
		} else {
			for (let n = 0; n < step.times; n++) {
				const data = `${sent.length}`
				const id = (await manager.send(step.channel, { data })) ?? ''
				if (step.channel !== 'other') sent.push({ id, channel: step.channel, data })
			}
		}
	}
	await cut()
	client = await open()
	await manager.send('a', { data: 'end' }).then((id = '') => sent.push({ id, channel: 'a', data: 'end' }))
	await client.next(({ id }) => id === sent.at(-1)?.id)
	client.close()
	return [sent, connections]
}

describe('a client that collects over its reconnects', () => {
	it('has everything in order, once, without a reset when enough is kept', async () => {
		const served = await serve({ history: { size: 10_000 } })
		await fc.assert(
			fc.asyncProperty(steps(), async (plan) => {
				const [sent, connections] = await play(served, plan)
				expect(findHole(sent, connections)).toBeUndefined()
				expect(connections.flat().filter(({ event }) => event === 'reset')).toEqual([])
			}),
			{ numRuns: 40 },
		)
	})

	it('has everything in order, once, or was reset when less is kept', async () => {
		const served = await serve({ history: { size: 3, channels: { b: { size: 1 } } } })
		await fc.assert(
			fc.asyncProperty(steps(), async (plan) => {
				const [sent, connections] = await play(served, plan)
				expect(findHole(sent, connections)).toBeUndefined()
			}),
			{ numRuns: 40 },
		)
		expect(served.manager.stats().resets).toBeGreaterThan(0)
	})
})

describe('a long replay', () => {
	it.each([0, 300])(
		'goes at the pace of a slow reader, who is not cut (%i live messages meanwhile)',
		async (live) => {
			const { url, manager, streams } = await serve({ history: { size: 20_000 } })
			const path = `${url}/?channel=a`
			const { id } = await (await comeBack(path, undefined)).next('position')
			const first = await streams.next()
			first.stream.close()
			const kilobyte = 'x'.repeat(1_024)
			for (let n = 0; n < 10_000; n++) manager.send('a', { data: `${n} ${kilobyte}` })
			const client = await comeBack(path, id)
			client.pause()
			const { stream } = await streams.next()
			let most = 0
			let sentLive = 0
			const total = 10_000 + live
			while (messagesOf(client).length < total && !stream.closed) {
				const before = client.raw.length
				client.resume()
				await until(() => client.raw.length > before || stream.closed)
				client.pause()
				if (sentLive < live) manager.send('a', { data: `${10_000 + sentLive++} ${kilobyte}` })
				most = Math.max(most, manager.stats().bufferedBytes)
			}
			expect(stream.closed).toBe(false)
			expect(messagesOf(client).map((data) => Number.parseInt(data, 10))).toEqual(
				Array.from({ length: total }, (_, n) => n),
			)
			// One page, and what came live.
			expect(most).toBeLessThan(2.5 * 1_048_576)
			expect(manager.stats()).toMatchObject({ slowDisconnects: 0, resets: 0 })
		},
	)
})

describe('the last page of a replay', () => {
	it('may be larger than maxBuffer: live messages wait until the client took it', async () => {
		const { url, manager, streams } = await serve({ history: { size: 2_000 } })
		const path = `${url}/?channel=a`
		const { id } = await (await comeBack(path, undefined)).next('position')
		await streams.next()
		const large = 'x'.repeat(16_384)
		for (let n = 0; n < 1_000; n++) manager.send('a', { data: `${n} ${large}` })
		const client = await comeBack(path, id)
		client.pause()
		const { stream } = await streams.next()
		for (let n = 1_000; n < 1_010; n++) await manager.send('a', { data: `${n} ${large}` })
		await new Promise(setImmediate)
		expect(stream.closed).toBe(false)
		client.resume()
		await client.next(({ data }) => data.startsWith('1009 '))
		expect(messagesOf(client).map((data) => Number.parseInt(data, 10))).toEqual(
			Array.from({ length: 1_010 }, (_, n) => n),
		)
	})
})

describe('many clients that come back with the same position', () => {
	it('share what is read from the log', async () => {
		const adapter = new FakeAdapter()
		const { url, manager } = await serve({ adapter, history: { size: 1_000 } })
		const path = `${url}/?channel=a&channel=b`
		const one = await comeBack(path, undefined)
		const { id } = await one.next('position')
		for (let n = 0; n < 100; n++) manager.send(n % 2 === 0 ? 'a' : 'b', { data: `${n}` })
		await one.next(({ data }) => data === '99')
		const before = adapter.readCount
		const clients = await Promise.all(Array.from({ length: 200 }, () => comeBack(path, id)))
		await Promise.all(clients.map((client) => client.next(({ data }) => data === '99')))
		expect(adapter.readCount - before).toBe(1)
		const expected = Array.from({ length: 100 }, (_, n) => `${n}`)
		for (const client of clients) expect(messagesOf(client)).toEqual(expected)
		expect(seqOf(lastIdOf(clients[0]?.events ?? []))).toBe(100)
	})

	it('read again once there is more', async () => {
		const adapter = new FakeAdapter()
		const { url, manager } = await serve({ adapter, history: { size: 1_000 } })
		const path = `${url}/?channel=a`
		const one = await comeBack(path, undefined)
		const { id } = await one.next('position')
		for (const data of ['1', '2', '3']) {
			await manager.send('a', { data })
			await one.next((event) => event.data === data)
			const client = await comeBack(path, id)
			await client.next((event) => event.data === data)
			expect(messagesOf(client)).toEqual(messagesOf(one))
		}
	})
})

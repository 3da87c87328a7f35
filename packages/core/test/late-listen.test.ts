import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import type { EvManagedStream } from '../src/index.js'
import { connect } from './support/serve.js'
import { seqOf } from './support/streams-model.js'
import { serve } from './support/streams-server.js'
import { nextTurn } from './support/streams-slow.js'

const MISSED = 20_000
const data = 'x'.repeat(1_000)

/** A client of a manager that has kept what it missed. */
async function missing(channels: readonly string[]) {
	const { manager, url, streams } = await serve({ history: { size: MISSED } })
	const start = (await manager.send('other', { data: '' })) ?? ''
	const sent: string[] = []
	for (let n = 0; n < MISSED; n++) {
		const channel = channels[n % channels.length] ?? ''
		sent.push((await manager.send(channel, { event: channel, data })) ?? '')
	}

	/** A visit that is cut some more events after the first event of a name. */
	async function visit(
		lastEventId: string,
		listen: (stream: EvManagedStream) => unknown,
		cutAfter: string,
		more = 0,
	) {
		const client = await connect(url, { headers: { 'last-event-id': lastEventId } })
		client.pause()
		const { stream } = await streams.next()
		await listen(stream)
		client.resume()
		const cut = () => {
			const first = client.events.findIndex(({ event }) => event === cutAfter)
			return first < 0 ? Number.POSITIVE_INFINITY : first + 1 + more
		}
		await until(() => client.events.length >= cut(), { timeout: 15_000, what: cutAfter })
		// What a browser has is what it dispatched until then.
		const seen = client.events.slice(0, cut())
		client.close()
		await until(() => stream.closed)
		return {
			messages: seen.filter(({ event }) => channels.includes(event)),
			ids: seen.flatMap(({ id }) => (id === undefined ? [] : [id])),
			resets: seen.filter(({ event }) => event === 'reset'),
		}
	}

	return { manager, start, sent, visit }
}

type Seen = Awaited<ReturnType<Awaited<ReturnType<typeof missing>>['visit']>>

/** Everything once, nothing reset, and on each visit ids that do not fall. */
function expectAllOnce(visits: readonly Seen[], sent: number): void {
	expect(visits.flatMap(({ resets }) => resets)).toEqual([])
	expect(visits.reduce((sum, { messages }) => sum + messages.length, 0)).toBe(sent)
	for (const { ids } of visits) {
		const seqs = ids.map(seqOf)
		expect(seqs).toEqual(seqs.toSorted((one, other) => one - other))
	}
}

describe('a client that comes back and listens to a channel in a later tick', () => {
	it('loses nothing when it is cut while that channel is replayed and another one is live', async () => {
		const { manager, start, visit } = await missing(['missed'])
		const first = await visit(
			start,
			async (stream) => {
				stream.listen('live')
				await nextTurn()
				stream.listen('missed')
				// More than the kernel takes is missed: the replay waits for the client in the middle.
				await until(() => manager.stats().bufferedBytes > 0)
				manager.send('live', { event: 'live', data: '' })
			},
			'missed',
			4_999,
		)
		// It was cut within the older messages, and its id says so.
		expect(first.messages.length).toBeGreaterThan(4_000)
		expect(first.ids.at(-1)).toMatch(/^[^-]+-[^-]+-\d+$/)
		const second = await visit(
			first.ids.at(-1) ?? '',
			(stream) => {
				stream.listen('live')
				stream.listen('missed')
				manager.send('live', { event: 'end', data: '' })
			},
			'end',
		)
		expectAllOnce([first, second], MISSED)
	})

	it('loses nothing when it is cut again and again, in another order each time', async () => {
		const { manager, start, visit } = await missing(['a', 'b', 'c'])
		const orders = ['abc', 'bac', 'abc']
		const visits: Seen[] = []
		let id = start
		for (const order of orders) {
			const seen = await visit(
				id,
				async (stream) => {
					for (const channel of order) {
						stream.listen(channel)
						await nextTurn()
					}
				},
				// Before a message of the last one nobody can know that it will be listened to.
				order.at(-1) ?? '',
				1_000,
			)
			visits.push(seen)
			id = seen.ids.at(-1) ?? ''
		}
		const last = await visit(
			id,
			(stream) => {
				for (const channel of ['end', 'a', 'b', 'c']) stream.listen(channel)
				manager.send('end', { event: 'end', data: '' })
			},
			'end',
		)
		expectAllOnce([...visits, last], MISSED)
	})

	it('gets nothing twice when two of its channels have the same short hash', async () => {
		// These two words have one 32-bit FNV-1a hash.
		const { manager, start, visit } = await missing(['costarring', 'liquid'])
		const first = await visit(
			start,
			async (stream) => {
				stream.listen('liquid')
				await nextTurn()
				await until(() => manager.stats().bufferedBytes > 0)
				stream.listen('costarring')
			},
			'costarring',
			1_000,
		)
		expect(first.ids.at(-1)).toMatch(/^[^-]+-[^-]+-\d+$/)
		const second = await visit(
			first.ids.at(-1) ?? '',
			(stream) => {
				for (const channel of ['liquid', 'costarring', 'end']) stream.listen(channel)
				manager.send('end', { event: 'end', data: '' })
			},
			'end',
		)
		expectAllOnce([first, second], MISSED)
	})

	it('gets the second channel after the first one’s replay has begun, and nothing twice', async () => {
		const { start, manager, visit } = await missing(['a', 'a', 'a', 'a', 'b'])
		const seen = await visit(
			start,
			async (stream) => {
				stream.listen('a')
				await nextTurn()
				await until(() => manager.stats().bufferedBytes > 0)
				stream.listen('b')
			},
			'position',
		)
		expectAllOnce([seen], MISSED)
	})

	it.each([
		['named by their few others', 1, []],
		['too many to be named in an id, as are the others', 20, ['{"reason":"trimmed"}']],
	])('is reset only if it has to be: forty late channels, %s', async (_what, live, resets) => {
		const channels = Array.from({ length: 40 }, (_, n) => `late ${n}`)
		const others = Array.from({ length: live }, (_, n) => `live ${n}`)
		const { start, visit, manager } = await missing(channels)
		const seen = await visit(
			start,
			async (stream) => {
				for (const other of others) stream.listen(other)
				await nextTurn()
				await manager.send('live 0', { event: 'live', data: '' })
				for (const channel of channels) stream.listen(channel)
				await nextTurn()
				await manager.send('live 0', { event: 'end', data: '' })
			},
			'end',
		)
		expect(seen.resets.map(({ data }) => data)).toEqual(resets)
		for (const id of seen.ids) expect(id.length).toBeLessThanOrEqual(128)
		if (resets.length === 0) expectAllOnce([seen], MISSED)
	})
})

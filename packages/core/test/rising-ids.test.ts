import { type SseEvent, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { connect, serveManager } from './support/serve.js'
import { seqOf } from './support/streams-model.js'
import { serve } from './support/streams-server.js'
import { nextTurn } from './support/streams-slow.js'
import { valve } from './support/valve.js'

/** The ids in the order in which they came, as numbers. */
function seqs(events: readonly SseEvent[]): number[] {
	return events.flatMap(({ id }) => (id === undefined ? [] : [seqOf(id)]))
}

function sorted(numbers: readonly number[]): number[] {
	return numbers.toSorted((one, other) => one - other)
}

describe('the ids on a connection rise', () => {
	it('when a newcomer gets the newest messages of a channel while all its channels go on', async () => {
		const { manager, url, streams } = await serve(
			{ history: { size: 100 } },
			{
				onStream(stream) {
					stream.listen('a', { last: 100 })
					stream.listen('b')
				},
			},
		)
		for (let n = 0; n < 100; n++) await manager.send('a', { event: 'old', data: 'x'.repeat(60_000) })
		const client = await connect(url)
		client.pause()
		const { stream } = await streams.next()
		// The newest messages are more than the kernel takes: they wait for the client.
		await until(() => manager.stats().bufferedBytes > 0)
		const a = await manager.send('a', { event: 'A', data: '' })
		const b = await manager.send('b', { event: 'B', data: '' })
		client.resume()
		await client.next('B')
		const ids = client.events.map(({ id }) => id)
		expect(ids).toContain(a)
		expect(ids.indexOf(a)).toBeLessThan(ids.indexOf(b))
		expect(client.events.filter(({ event }) => event === 'old')).toHaveLength(100)
		expect(seqs(client.events)).toEqual(sorted(seqs(client.events)))
		expect(stream.closed).toBe(false)
	})

	it('when a callback of a client that is cut in the middle of a burst sends', async () => {
		let announced: Promise<string | undefined> | undefined
		const { manager, url, streams } = await serve(
			{ history: { size: 5_000 }, maxBuffer: 262_144 },
			{
				before: (req, res) => {
					const fast = req.url === '/fast'
					const stream = manager.createStream(req, res, fast ? { maxBuffer: 1e9 } : {})
					stream.listen('room')
					stream.onClose((_channels, reason) => {
						if (reason === 'slow') announced = manager.send('room', { event: 'left', data: '' })
					})
					streams.push({ stream, res })
					return false
				},
			},
		)
		const slow = await connect(`${url}/slow`)
		slow.pause()
		const cut = await streams.next()
		const fast = await connect(`${url}/fast`)
		await streams.next()
		const data = 'x'.repeat(40_000)
		let sent = 0
		while (!cut.stream.closed) {
			for (let n = 0; n < 20; n++) {
				sent++
				void manager.send('room', { event: 'm', data })
			}
			await nextTurn()
		}
		const left = await announced
		manager.send('room', { event: 'last', data: '' })
		await fast.next('last', 15_000)
		expect(left).toBeDefined()
		const got = fast.events.filter(({ event }) => event !== 'position')
		expect(got).toHaveLength(sent + 2)
		expect(seqs(got)).toEqual(sorted(seqs(got)))
		expect(got.find(({ event }) => event === 'left')?.id).toBe(left)
	})

	it('when a callback of a burst listens, unlistens and closes others', async () => {
		const { manager, server, exchanges } = await serveManager({ history: { size: 1_000 }, maxBuffer: 65_536 })
		const join = async () => {
			const client = await connect(server.url)
			const { stream } = await exchanges.next()
			stream.listen('room')
			return { client, stream }
		}
		const slow = await join()
		const [changes, closed, stays] = [await join(), await join(), await join()]
		slow.client.pause()
		await until(() => stays.client.events.length === 1)
		slow.stream.onClose(() => {
			changes.stream.unlisten('room')
			changes.stream.listen('other')
			closed.stream.close()
			void manager.send('other', { event: 'other', data: '' })
			void manager.send('room', { event: 'left', data: '' })
		})
		const data = 'x'.repeat(20_000)
		let sent = 0
		while (!slow.stream.closed) {
			sent++
			void manager.send('room', { event: 'm', data })
			await nextTurn()
		}
		manager.send('room', { event: 'last', data: '' })
		manager.send('other', { event: 'last', data: '' })
		await Promise.all([stays.client.next('last'), changes.client.next('last'), closed.client.closed])
		for (const { client } of [changes, closed, stays])
			expect(seqs(client.events)).toEqual(sorted(seqs(client.events)))
		const names = (client: { events: readonly SseEvent[] }) =>
			client.events.map(({ event }) => event).filter((event) => event !== 'position')
		expect(names(stays.client)).toEqual([...Array(sent).fill('m'), 'left', 'last'])
		expect(names(changes.client).slice(-3)).toEqual(['m', 'other', 'last'])
		expect(names(closed.client).at(-1)).toBe('end')
	})

	it('when direct messages are sent in the middle of a replay', async () => {
		const { manager, url, streams } = await serve(
			{ history: { size: 1_000 } },
			{ onStream: (stream) => stream.listen('a') },
		)
		const start = await manager.send('other', { data: '' })
		for (let n = 0; n < 1_000; n++) await manager.send('a', { event: 'a', data: `${n} ${'x'.repeat(1_000)}` })
		const client = await connect(url, { headers: { 'last-event-id': start ?? '' } })
		const { stream, res } = await streams.next()
		if (res.socket === null) throw new Error('The response has no socket')
		const { step, open } = valve(res.socket)
		for (let n = 0; n < 10; n++) {
			stream.message({ event: 'direct', data: `${n}` })
			await manager.send('a', { event: 'a', data: `${1_000 + n}` })
			step()
			await nextTurn()
		}
		open()
		manager.send('a', { event: 'end', data: '' })
		await client.next('end')
		const of = (name: string) =>
			client.events.filter(({ event }) => event === name).map(({ data }) => Number.parseInt(data, 10))
		expect(of('a')).toEqual(Array.from({ length: 1_010 }, (_, n) => n))
		expect(of('direct')).toEqual(Array.from({ length: 10 }, (_, n) => n))
		// What is sent to one client only has no id: it moves nobody.
		expect(client.events.filter(({ event }) => event === 'direct').every(({ id }) => id === undefined)).toBe(
			true,
		)
		expect(seqs(client.events)).toEqual(sorted(seqs(client.events)))
	})
})

import { openSse, type SseClient, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { EvInvalidMessageError } from '../src/index.js'
import { messagesOf, seqOf } from './support/streams-model.js'
import { serve } from './support/streams-server.js'

const history = { size: 100 }

function comeBack(url: string, id: string | undefined): Promise<SseClient> {
	return openSse(url, { headers: { 'last-event-id': id ?? '' } })
}

async function positionOf(url: string): Promise<string> {
	const client = await openSse(url)
	const { id = '' } = await client.next('position')
	client.close()
	return id
}

describe('a stream that begins to listen', () => {
	it('is told where it stands, with an id and empty data', async () => {
		const { url, manager } = await serve({ history })
		await manager.send('a', { data: 'before' })
		const client = await openSse(`${url}/?channel=a&channel=b`)
		const id = await manager.send('a', { data: 'one' })
		await client.next(({ data }) => data === 'one')
		expect(client.raw).toMatch(/^event:position\nid:[A-Za-z0-9._]+-1\ndata:\n\nid:/)
		expect(client.events.slice(1)).toEqual([{ event: 'message', id, data: 'one' }])
	})

	it('gets what the same tick sends after it, and not what the tick sent before', async () => {
		const { url, manager, streams } = await serve({ history })
		const client = await openSse(url)
		const { stream } = await streams.next()
		manager.send('a', { data: 'before' })
		stream.listen('a')
		manager.send('a', { data: 'after' })
		await client.next(({ data }) => data === 'after')
		expect(messagesOf(client)).toEqual(['after'])
	})
})

describe('a client that comes back', () => {
	it.each(['header', 'query'])(
		'gets what it missed of all its channels, in order, then the live ones (%s)',
		async (by) => {
			const { url, manager } = await serve({ history })
			const path = `${url}/?channel=a&channel=b&channel=c`
			const id = await positionOf(path)
			const expected: string[] = []
			for (let n = 0; n < 30; n++) {
				manager.send(['a', 'b', 'c', 'other'][n % 4] ?? '', { data: `${n}` })
				if (n % 4 !== 3) expected.push(`${n}`)
			}
			const client = await (by === 'header' ? comeBack(path, id) : openSse(`${path}&lastEventId=${id}`))
			await client.next(({ data }) => data === '29')
			const live = await manager.send('b', { data: 'live' })
			await client.next(({ data }) => data === 'live')
			expect(messagesOf(client)).toEqual([...expected, 'live'])
			expect(client.events.at(-1)?.id).toBe(live)
			expect(client.events.some(({ event }) => event === 'reset')).toBe(false)
			expect(manager.stats()).toMatchObject({ replays: 1, resets: 0 })
		},
	)

	it('gets a channel that it listens to in a later tick from its position too', async () => {
		const { url, manager, streams } = await serve({ history })
		const id = await positionOf(`${url}/?channel=a&channel=b`)
		await streams.next()
		for (const [n, channel] of ['a', 'b', 'a', 'b'].entries())
			await manager.send(channel, { data: `${channel}${n}` })
		const client = await comeBack(`${url}/?channel=a`, id)
		const { stream } = await streams.next()
		await client.next(({ data }) => data === 'a2')
		stream.listen('b')
		await client.next(({ data }) => data === 'b3')
		const live = await manager.send('a', { data: 'live' })
		await client.next(({ id }) => id === live)
		expect(messagesOf(client)).toEqual(['a0', 'a2', 'b1', 'b3', 'live'])
	})

	it.each([
		['epoch', () => 'another.epoch-1'],
		['future', (id: string) => `${id.slice(0, id.lastIndexOf('-'))}-999`],
		['invalid', () => 'garbage'],
		['invalid', () => Buffer.from('späť €-1').toString('latin1')],
		['invalid', (id: string) => `${id}0000000000000000`],
		['invalid', (id: string) => `${id.slice(0, id.lastIndexOf('-'))}--1`],
	])('is reset because of a position that is none: %s', async (reason, change) => {
		const { url, manager } = await serve({ history })
		const path = `${url}/?channel=a`
		const id = await positionOf(path)
		const last = await manager.send('a', { data: 'missed' })
		const client = await comeBack(path, change(id))
		const reset = await client.next('reset')
		expect(reset).toEqual({ event: 'reset', id: last, data: JSON.stringify({ reason }) })
		await manager.send('a', { data: 'live' })
		await client.next(({ data }) => data === 'live')
		expect(messagesOf(client)).toEqual(['live'])
		expect(manager.stats()).toMatchObject({ replays: 1, resets: 1 })
	})

	it('is reset once what it missed is more than is kept, and goes on from the new position', async () => {
		const { url, manager } = await serve({ history: { size: 2 } })
		const path = `${url}/?channel=a&channel=b`
		const id = await positionOf(path)
		manager.send('b', { data: 'b' })
		for (const data of ['1', '2', '3']) manager.send('a', { data })
		const client = await comeBack(path, id)
		const reset = await client.next('reset')
		expect(reset.data).toBe('{"reason":"trimmed"}')
		client.close()
		manager.send('a', { data: '4' })
		const again = await comeBack(path, reset.id)
		await again.next(({ data }) => data === '4')
		expect(messagesOf(client)).toEqual([])
		expect(messagesOf(again)).toEqual(['4'])
	})

	it('is reset once what it missed is too old', async () => {
		const { url, manager } = await serve({ history: { size: 10, ttl: 1 } })
		const path = `${url}/?channel=a`
		const id = await positionOf(path)
		await manager.send('a', { data: 'old' })
		const sent = Date.now()
		await until(() => Date.now() > sent + 2)
		const client = await comeBack(path, id)
		expect((await client.next('reset')).data).toBe('{"reason":"trimmed"}')
		client.close()
		// Who missed nothing is not reset, however old the channel is.
		const again = await comeBack(path, client.events[0]?.id)
		const live = await manager.send('a', { data: 'live' })
		await again.next(({ id }) => id === live)
		expect(again.events.map(({ event }) => event)).not.toContain('reset')
	})
})

describe('channels that keep other amounts', () => {
	it('reset only the clients that missed more than that', async () => {
		const channels = { small: { size: 1 }, none: false } as const
		const { url, manager } = await serve({ history: { size: 100, channels } })
		const id = await positionOf(`${url}/?channel=big`)
		for (const data of ['1', '2', '3']) await manager.send('big', { data })
		const one = await manager.send('small', { data: '1' })
		await manager.send('small', { data: '2' })
		const none = await manager.send('none', { data: '1' })
		const first = async (channel: string, after: string | undefined): Promise<string> => {
			const { event, data } = await (await comeBack(`${url}/?channel=${channel}`, after)).next()
			return `${event} ${data}`
		}
		expect(await first('big', id)).toBe('message 1')
		expect(await first('small', id)).toBe('reset {"reason":"trimmed"}')
		expect(await first('small', one)).toBe('message 2')
		expect(await first('none', one)).toBe('reset {"reason":"trimmed"}')
		expect(await first('none', none)).toBe('position ')
	})
})

describe('listen with last', () => {
	it('gives a newcomer the newest messages of each channel, in order, then the live ones', async () => {
		const { url, manager } = await serve(
			{ history },
			{
				onStream: (stream) => {
					stream.listen('a', { last: 2 })
					stream.listen('b', { last: 10 })
					stream.listen('c')
				},
			},
		)
		for (let n = 0; n < 12; n++) manager.send(['a', 'b', 'c'][n % 3] ?? '', { data: `${n}` })
		const client = await openSse(url)
		await client.next(({ data }) => data === '10')
		await manager.send('c', { data: 'live' })
		await client.next(({ data }) => data === 'live')
		expect(messagesOf(client)).toEqual(['1', '4', '6', '7', '9', '10', 'live'])
	})

	it('gives exactly so many when they are more than one read gives', async () => {
		const { url, manager } = await serve(
			{ history: { size: 5_000 } },
			{
				onStream: (stream) => {
					stream.listen('a', { last: 1_500 })
					stream.listen('b', { last: 3 })
					stream.listen('c')
				},
			},
		)
		for (let n = 0; n < 6_000; n++) manager.send(['a', 'b', 'c'][n % 3] ?? '', { data: `${n}` })
		const client = await openSse(url)
		await manager.send('a', { data: 'live' })
		await client.next(({ data }) => data === 'live')
		const got = (remainder: number): number[] =>
			messagesOf(client)
				.map(Number)
				.filter((n) => n % 3 === remainder)
		expect(got(1)).toHaveLength(3)
		expect(got(2)).toHaveLength(0)
		expect(got(0)).toHaveLength(1_500)
		expect(got(0)[0]).toBe(1_500)
	})

	it('does not apply to a client that comes back with a position', async () => {
		const { url, manager } = await serve(
			{ history },
			{ onStream: (stream) => stream.listen('a', { last: 5 }) },
		)
		await manager.send('a', { data: '1' })
		const id = await manager.send('a', { data: '2' })
		await manager.send('a', { data: '3' })
		const client = await comeBack(url, id)
		await client.next(({ data }) => data === '3')
		expect(messagesOf(client)).toEqual(['3'])
	})
})

describe('a message with an id of its own', () => {
	it('is refused, because it would overwrite the client’s position', async () => {
		const { url, manager, streams, errors } = await serve({ history })
		const client = await openSse(`${url}/?channel=a`)
		const { stream } = await streams.next()
		await expect(manager.send('a', { id: '1', data: 'x' })).rejects.toThrow(EvInvalidMessageError)
		await expect(manager.to(stream.id, { id: '1', data: 'x' })).rejects.toThrow(EvInvalidMessageError)
		expect(() => stream.message({ id: '1', data: 'x' })).toThrow(EvInvalidMessageError)
		stream.message({ data: 'direct' })
		await client.next(({ data }) => data === 'direct')
		expect(client.events.map(({ event, id }) => [event, seqOf(id)])).toEqual([
			['position', 0],
			['message', Number.NaN],
		])
		expect(errors).toHaveLength(2)
	})
})

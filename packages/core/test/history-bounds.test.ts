import { openSse, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { historySettings } from '../src/options.js'
import { messagesOf } from './support/streams-model.js'
import { serve } from './support/streams-server.js'

const MiB = 1_048_576

describe('the settings of a history', () => {
	it('have bounds in bytes unless they are turned off', () => {
		const settings = historySettings({ size: 5 })
		expect(settings.retention('a')).toEqual({ size: 5, ttl: 300_000, maxBytes: 64 * MiB })
		expect(settings.maxTotalBytes).toBe(256 * MiB)
		const without = historySettings({ size: 5, maxBytes: Infinity, maxTotalBytes: Infinity })
		expect([without.retention('a').maxBytes, without.maxTotalBytes]).toEqual([Infinity, Infinity])
	})

	it('of a single channel have the bound of all, or one of their own', () => {
		const channels = { own: { size: 1, maxBytes: 7, ttl: 9 }, other: { size: 2 }, none: false } as const
		const { retention } = historySettings({ size: 5, ttl: 10, maxBytes: 1_000, channels })
		expect(retention('own')).toEqual({ size: 1, ttl: 9, maxBytes: 7 })
		expect(retention('other')).toEqual({ size: 2, ttl: 300_000, maxBytes: 1_000 })
		expect(retention('none')).toMatchObject({ size: 0 })
		expect(retention('a')).toEqual({ size: 5, ttl: 10, maxBytes: 1_000 })
	})
})

describe('a client that comes back', () => {
	it.each([{ maxBytes: 100_000 }, { maxTotalBytes: 100_000 }])(
		'is told that what it missed was more than may be kept: %j',
		async (bounds) => {
			const { url, manager } = await serve({ history: { size: 1_000, ...bounds } })
			const comeBack = async (id: string | undefined) => {
				const client = await openSse(`${url}/?channel=a`, { headers: { 'last-event-id': id ?? '' } })
				await client.next(({ event }) => event === 'position' || event === 'reset')
				client.close()
				return client
			}
			const ids: (string | undefined)[] = []
			for (let n = 0; n < 20; n++) {
				ids.push(await manager.send('a', { data: `${n} ${'x'.repeat(10_000)}` }))
			}
			const trimmed = await comeBack(ids[9])
			expect(trimmed.events.map(({ event, data }) => `${event} ${data}`)).toEqual([
				'reset {"reason":"trimmed"}',
			])
			const complete = await comeBack(ids[10])
			expect(messagesOf(complete).map((data) => Number.parseInt(data, 10))).toEqual([
				11, 12, 13, 14, 15, 16, 17, 18, 19,
			])
		},
	)
})

it('a newcomer gets as many of the newest messages as it asked for of each channel, over many pages', async () => {
	const { url, manager, streams } = await serve({ history: { size: 5_000 } })
	for (let n = 0; n < 6_000; n++) manager.send(n % 2 === 0 ? 'a' : 'b', { data: `${n}` })
	const client = await openSse(url)
	const { stream } = await streams.next()
	stream.listen('a', { last: 2_500 })
	stream.listen('b', { last: 3 })
	stream.listen('c')
	await until(() => client.events.some(({ event }) => event === 'position'))
	await manager.send('c', { event: 'end', data: '' })
	await client.next('end')
	const newest = Array.from({ length: 6_000 }, (_, n) => n).filter((n) =>
		n % 2 === 0 ? n >= 1_000 : n >= 5_994,
	)
	expect(messagesOf(client)).toEqual(newest.map(String))
})

import { openSse, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { type Served, serve } from './support/streams-server.js'
import { LARGE, nextTurn, numbersOf, reasonOf } from './support/streams-slow.js'

/** Sends numbered large messages, one a turn, until the condition holds. Gives how many. */
async function flood({ manager }: Served, until: (sent: number) => boolean): Promise<number> {
	let sent = 0
	while (!until(sent)) {
		if (sent === 2_000) throw new Error('The kernel took more than 128 MB')
		manager.send('a', { data: `${sent++} ${LARGE}` })
		await nextTurn()
	}
	return sent
}

describe('a client that does not read', () => {
	it('is cut once maxBuffer is used up, and nobody else is', async () => {
		const maxBuffer = 256 * 1_024
		const served = await serve({ maxBuffer })
		const { url, manager, streams } = served
		const slow = await openSse(`${url}/?channel=a`)
		slow.pause()
		const { stream } = await streams.next()
		const reason = reasonOf(stream)
		const fast = await openSse(`${url}/?channel=a`)
		let most = 0
		const sent = await flood(served, () => {
			most = Math.max(most, manager.stats().bufferedBytes)
			return stream.closed
		})
		expect(await reason).toBe('slow')
		expect(most).toBeGreaterThan(0)
		// The fast one has at most what one turn sent it.
		expect(most).toBeLessThanOrEqual(maxBuffer + 2 * (LARGE.length + 100))
		manager.send('a', { data: `${sent}` })
		await fast.next(({ data }) => data === `${sent}`)
		expect(numbersOf(fast)).toEqual(Array.from({ length: sent + 1 }, (_, n) => n))
		expect(manager.stats()).toMatchObject({ slowDisconnects: 1, connections: 1, listeners: 1 })
	})

	it('resumes without loss when there is history', async () => {
		const served = await serve({ maxBuffer: 256 * 1_024, history: { size: 2_000 } })
		const { url, streams } = served
		const slow = await openSse(`${url}/?channel=a`)
		slow.pause()
		const { stream } = await streams.next()
		const sent = await flood(served, () => stream.closed)
		slow.resume()
		await slow.closed
		const id = slow.events.at(-1)?.id ?? ''
		const again = await openSse(`${url}/?channel=a`, { headers: { 'last-event-id': id } })
		await again.next(({ data }) => data.startsWith(`${sent - 1} `))
		expect([...numbersOf(slow), ...numbersOf(again)]).toEqual(Array.from({ length: sent }, (_, n) => n))
	})

	it.each([undefined, { size: 10 }])(
		'with drop misses messages, and is told so once when it has woken up',
		async (history) => {
			const served = await serve({ maxBuffer: 256 * 1_024, slow: 'drop', history })
			const { url, manager, streams } = served
			const client = await openSse(`${url}/?channel=a`)
			client.pause()
			const { stream } = await streams.next()
			let deliveries = -1
			const sent = await flood(served, (count) => {
				const same = count > 0 && manager.stats().deliveries === deliveries
				deliveries = manager.stats().deliveries
				return same
			})
			const id = await manager.send('a', { data: `${sent}` })
			expect(stream.closed).toBe(false)
			client.resume()
			const reset = await client.next('reset')
			expect(reset).toEqual({ event: 'reset', id, data: '{"reason":"slow"}' })
			manager.send('a', { data: `${sent + 1}` })
			await client.next(({ data }) => data === `${sent + 1}`)
			const numbers = numbersOf(client)
			expect(numbers.slice(0, -1)).toEqual(Array.from({ length: numbers.length - 1 }, (_, n) => n))
			expect(numbers.length).toBeLessThan(sent + 1)
			expect(client.events.filter(({ event }) => event === 'reset')).toHaveLength(1)
			expect(manager.stats()).toMatchObject({ resets: 1, slowDisconnects: 0 })
		},
	)
})

describe('a maxBuffer below what a socket takes without asking to pause', () => {
	it('with drop lets the client wake up all the same', async () => {
		const { url, manager, streams } = await serve({ maxBuffer: 4_096, slow: 'drop' })
		const client = await openSse(`${url}/?channel=a`)
		client.pause()
		await streams.next()
		let sent = 0
		while (manager.stats().deliveries === sent) {
			manager.send('a', { data: `${sent++} ${'x'.repeat(1_024)}` })
			await nextTurn()
		}
		client.resume()
		expect((await client.next('reset')).data).toBe('{"reason":"slow"}')
		expect(numbersOf(client)).toEqual(Array.from({ length: sent - 1 }, (_, n) => n))
	})
})

describe('stallTimeout', () => {
	const patient = { maxBuffer: Number.POSITIVE_INFINITY, stallTimeout: 200 }

	it('cuts a client that takes nothing, however much may wait', async () => {
		const served = await serve(patient)
		const { url, manager, streams } = served
		const client = await openSse(`${url}/?channel=a`)
		client.pause()
		const { stream } = await streams.next()
		const reason = reasonOf(stream)
		await flood(served, () => manager.stats().bufferedBytes > 4 * LARGE.length)
		expect(await reason).toBe('stalled')
		expect(manager.stats()).toMatchObject({ connections: 0, slowDisconnects: 1, bufferedBytes: 0 })
	})

	it('cuts a client off at once, not when its deadline has passed once more', async () => {
		const served = await serve(patient)
		const { url, manager, streams } = served
		const client = await openSse(`${url}/?channel=a`)
		client.pause()
		const { stream, res } = await streams.next()
		const left: unknown[] = []
		stream.onClose(() => {
			const { bufferedBytes, ending } = manager.stats()
			left.push({ bufferedBytes, ending, destroyed: res.destroyed })
		})
		await flood(served, () => manager.stats().bufferedBytes > 4 * LARGE.length)
		await until(() => stream.closed)
		expect(left).toEqual([{ bufferedBytes: 0, ending: 1, destroyed: true }])
		await until(() => manager.stats().ending === 0, { timeout: 100 })
	})

	it.each([false, 60_000] as const)(
		'cuts a client for which little waits (keepAlive: %s)',
		async (keepAlive) => {
			const { url, manager, streams } = await serve({ ...patient, keepAlive })
			const client = await openSse(`${url}/?channel=a`)
			client.pause()
			const { stream } = await streams.next()
			const reason = reasonOf(stream)
			while (manager.stats().bufferedBytes === 0) {
				manager.send('a', { data: LARGE.slice(0, 4_096) })
				await nextTurn()
			}
			expect(manager.stats().bufferedBytes).toBeLessThan(16_384)
			expect(await reason).toBe('stalled')
		},
	)

	it('leaves a client alone that reads, however slowly', async () => {
		const { url, manager, streams } = await serve({ ...patient, stallTimeout: 1_000 })
		const client = await openSse(`${url}/?channel=a`)
		const { stream } = await streams.next()
		for (let n = 0; n < 1_000; n++) manager.send('a', { data: `${n} ${LARGE}` })
		client.pause()
		const end = performance.now() + 2_500
		while (performance.now() < end) {
			const { length } = client.raw
			client.resume()
			await until(() => client.raw.length > length + 1_000_000)
			client.pause()
			const pause = performance.now() + 250
			await until(() => performance.now() > pause)
		}
		expect(manager.stats().bufferedBytes).toBeGreaterThan(0)
		expect(stream.closed).toBe(false)
		client.resume()
		await client.next(({ data }) => data.startsWith('999 '), 10_000)
		expect(numbersOf(client)).toEqual(Array.from({ length: 1_000 }, (_, n) => n))
	})
})

describe('a client that reads', () => {
	it('may be sent a burst of many times maxBuffer in one tick', async () => {
		const { url, manager, streams } = await serve({ maxBuffer: 32_768 })
		const client = await openSse(`${url}/?channel=a`)
		const { stream } = await streams.next()
		for (let n = 0; n < 100; n++) {
			if (n % 2 === 0) manager.send('a', { data: `${n} ${'x'.repeat(4_096)}` })
			else stream.message({ data: `${n} ${'x'.repeat(4_096)}` })
		}
		await client.next(({ data }) => data.startsWith('99 '))
		expect(numbersOf(client)).toEqual(Array.from({ length: 100 }, (_, n) => n))
		expect(manager.stats().slowDisconnects).toBe(0)
	})

	it('may be sent one message that is larger than maxBuffer', async () => {
		const { url, manager, streams } = await serve({ maxBuffer: 1_000 })
		const client = await openSse(`${url}/?channel=a`)
		const { stream } = await streams.next()
		manager.send('a', { data: `0 ${'x'.repeat(20_000_000)}` })
		await client.next()
		stream.message({ data: `1 ${'x'.repeat(20_000_000)}` })
		await client.next()
		expect(numbersOf(client)).toEqual([0, 1])
		expect(stream.closed).toBe(false)
	})
})

import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import type { EvManagedStream, EvStreamManager } from '../src/index.js'
import { seqOf } from './support/streams-model.js'
import { nextTurn, reasonOf } from './support/streams-slow.js'
import { type Visit, ways } from './support/transports.js'

/** The numbers that the data of the channel's messages begin with. */
function numbersOf({ events }: Pick<Visit, 'events'>): number[] {
	return events.filter(({ event }) => event === 'news').map(({ data }) => Number.parseInt(data, 10))
}

/** The numbers from 1. */
function upTo(count: number): number[] {
	return Array.from({ length: count }, (_, n) => n + 1)
}

/** Sends numbered messages, and resolves with a position before the first. */
async function miss(manager: EvStreamManager, count: number, length: number): Promise<string | undefined> {
	const start = await manager.send('other', { data: '' })
	const data = 'x'.repeat(length)
	for (let n = 1; n <= count; n++) await manager.send('news', { event: 'news', data: `${n} ${data}` })
	return start
}

/** Waits until what waits for clients has not changed for some turns. */
async function standstill(manager: EvStreamManager): Promise<number> {
	let before = -1
	for (let same = 0; same < 20; ) {
		await nextTurn()
		const { bufferedBytes } = manager.stats()
		same = bufferedBytes > 0 && bufferedBytes === before ? same + 1 : 0
		before = bufferedBytes
	}
	return before
}

function risesIn({ events }: Pick<Visit, 'events'>): boolean {
	const seqs = events.flatMap(({ id }) => (id === undefined ? [] : [seqOf(id)]))
	return seqs.every((seq, n) => n === 0 || seq >= (seqs[n - 1] ?? 0))
}

const listen = (stream: EvManagedStream): void => stream.listen('news')

describe.each(ways)('over $name', ({ open }) => {
	it('a client that comes back gets all it missed in one visit, thirty times maxBuffer', async () => {
		const { manager, visit } = await open({ history: { size: 1_000 }, maxBuffer: 65_536 }, listen)
		const lastEventId = await miss(manager, 1_000, 2_000)
		const client = await visit({ lastEventId })
		await client.has('position')
		expect(numbersOf(client)).toEqual(upTo(1_000))
		expect(risesIn(client)).toBe(true)
		expect(client.events.filter(({ event }) => event === 'reset')).toEqual([])
		expect(client.stream.closed).toBe(false)
	})

	it('what was missed waits in the history for a client that does not read, not in its buffer', async () => {
		const maxBuffer = 262_144
		const { manager, visit } = await open({ history: { size: 500 }, maxBuffer }, listen)
		const lastEventId = await miss(manager, 500, 50_000)
		const client = await visit({ lastEventId, paused: true })
		expect(await standstill(manager)).toBeLessThanOrEqual(maxBuffer)
		expect(client.stream.closed).toBe(false)
		client.resume()
		await client.has('position')
		expect(numbersOf(client)).toEqual(upTo(500))
	})

	it('a message larger than maxBuffer arrives behind a small one of the same tick, and before another', async () => {
		const { visit } = await open({ maxBuffer: 65_536 }, (stream) => {
			stream.message({ event: 'small', data: '' })
			stream.message({ event: 'large', data: 'x'.repeat(1_500_000) })
			stream.message({ event: 'last', data: '' })
		})
		const client = await visit()
		await client.has('last')
		expect(client.events.map(({ event, data }) => `${event} ${data.length}`)).toEqual([
			'small 0',
			'large 1500000',
			'last 0',
		])
		expect(client.stream.closed).toBe(false)
	})

	it('a large message arrives behind the position that the library itself writes', async () => {
		const { manager, visit } = await open({ history: { size: 10 }, maxBuffer: 65_536 }, (stream) => {
			stream.listen('news')
			void manager.send('news', { event: 'news', data: `1 ${'x'.repeat(1_500_000)}` })
		})
		const client = await visit()
		await until(() => numbersOf(client).length === 1 || client.over)
		expect(numbersOf(client)).toEqual([1])
		expect(client.stream.closed).toBe(false)
	})

	it('what waits when the app closes the stream arrives, and then the end', async () => {
		const { manager, visit } = await open()
		const client = await visit({ paused: true })
		client.stream.message({ event: 'large', data: 'x'.repeat(12_000_000) })
		client.stream.close()
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 1 })
		client.resume()
		await until(() => client.over, { timeout: 15_000 })
		expect(client.events.map(({ event, data }) => `${event} ${data.length}`)).toEqual([
			'large 12000000',
			'end 0',
		])
		await until(() => manager.stats().ending === 0)
	})

	it('a client that takes one large message slowly is not stalled, and gets all of it', async () => {
		const stallTimeout = 300
		const { visit } = await open({ stallTimeout })
		const client = await visit({ pace: 3 })
		let reason = 'none'
		void reasonOf(client.stream).then((why) => {
			reason = why
		})
		const start = performance.now()
		client.stream.message({ event: 'large', data: 'x'.repeat(20_000_000) })
		await until(() => client.events.length === 1 || client.over, { timeout: 15_000 })
		expect(reason).toBe('none')
		expect(client.events[0]?.data.length).toBe(20_000_000)
		// It took so long that one who takes nothing would have been cut off several times.
		expect(performance.now() - start).toBeGreaterThan(2 * stallTimeout)
	})

	it('drain waits until the client has taken all of a large message', async () => {
		const { manager, visit } = await open({ maxBuffer: 32_000_000 })
		const client = await visit({ paused: true })
		client.stream.message({ event: 'large', data: 'x'.repeat(12_000_000) })
		let waited: number | undefined
		const drained = client.stream.drain().then(() => {
			waited = manager.stats().bufferedBytes
		})
		await standstill(manager)
		expect(waited).toBeUndefined()
		client.resume()
		await drained
		// What a transport takes without asking to pause.
		expect(waited).toBeLessThanOrEqual(65_536)
		await client.has('large')
	})

	it('with drop, a client that leaves while it is left out is not told what it missed', async () => {
		const { manager, visit } = await open({ slow: 'drop', maxBuffer: 20_000 }, listen)
		const client = await visit({ paused: true })
		// In turns of their own, until the client is left out.
		let before = -1
		for (let same = 0; same < 5; ) {
			void manager.send('news', { event: 'news', data: 'x'.repeat(3_000) })
			await nextTurn()
			const { bufferedBytes } = manager.stats()
			same = bufferedBytes > 0 && bufferedBytes === before ? same + 1 : 0
			before = bufferedBytes
		}
		const reason = reasonOf(client.stream)
		client.cut()
		expect(await reason).toBe('disconnected')
		await until(() => manager.stats().ending === 0)
		expect(manager.stats()).toMatchObject({ resets: 0, bufferedBytes: 0 })
	})

	it('with drop, what is left out in the middle of a replay is told, and the replay loses nothing', async () => {
		const maxBuffer = 65_536
		const { manager, visit } = await open({ history: { size: 2_500 }, maxBuffer, slow: 'drop' }, listen)
		const lastEventId = await miss(manager, 2_500, 4_000)
		const client = await visit({ lastEventId, paused: true })
		await standstill(manager)
		// In turns of their own, until the client is left out.
		let sent = 0
		let before = -1
		for (let same = 0; same < 20; sent++) {
			client.stream.message({ event: 'direct', data: `${sent} ${'x'.repeat(1_000)}` })
			await nextTurn()
			const { bufferedBytes } = manager.stats()
			same = bufferedBytes === before ? same + 1 : 0
			before = bufferedBytes
		}
		client.resume()
		await client.has('position')
		expect(numbersOf(client)).toEqual(upTo(2_500))
		expect(risesIn(client)).toBe(true)
		const names = client.events.map(({ event }) => event)
		expect(names.filter((name) => name === 'reset')).toHaveLength(1)
		expect(names.filter((name) => name === 'direct').length).toBeLessThan(sent)
		// The reset has the id that the replay had reached: who comes back with it misses nothing of the replay.
		const at = names.indexOf('reset')
		const reached = client.events.slice(0, at).findLast(({ event }) => event === 'news')
		expect(client.events[at]?.id).toBe(reached?.id)
		expect(client.stream.closed).toBe(false)
	})
})

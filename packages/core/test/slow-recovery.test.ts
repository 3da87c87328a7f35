import { describe, expect, it, onTestFinished } from 'vitest'
import { type EvManagedStream, EvStreamManager } from '../src/index.js'
import { parse } from './support/parse.js'
import { nextTurn } from './support/streams-slow.js'

/** A web client of channel `a` that takes what waits only when it is told to. */
function open(options: ConstructorParameters<typeof EvStreamManager>[0]) {
	const manager = new EvStreamManager(options)
	onTestFinished(() => manager.close())
	const { stream, response } = manager.createResponse(new Request('http://a/'))
	stream.listen('a')
	const reader = response.body?.getReader()
	const decoder = new TextDecoder()
	let text = ''
	/** Reads a chunk, if there is one. */
	const read = async (): Promise<void> => {
		const { value } = (await reader?.read()) ?? {}
		text += decoder.decode(value, { stream: true })
	}
	return {
		manager,
		stream,
		read,
		get events() {
			return parse(text).events
		},
		/** Takes all that waits, and not more. */
		async take() {
			while (manager.stats().bufferedBytes > 0) await read()
		},
		/** Sends in turns of their own until what waits does not grow any more, or the client is cut; the most that waits. */
		async flood(length: number): Promise<number> {
			let most = 0
			for (let same = 0; same < 10 && !stream.closed; ) {
				void manager.send('a', { event: 'flood', data: 'x'.repeat(length) })
				for (let turn = 0; turn < 4; turn++) await nextTurn()
				const { bufferedBytes } = manager.stats()
				same = bufferedBytes === most ? same + 1 : 0
				most = Math.max(most, bufferedBytes)
			}
			return most
		},
	}
}

describe('a client that has caught up', () => {
	it('has taken everything: until then it is waited for by drain', async () => {
		const client = open({})
		const { manager, stream } = client
		let drained = false
		stream.message({ data: 'x'.repeat(300_000) })
		const draining = stream.drain().then(() => {
			drained = true
		})
		while (manager.stats().bufferedBytes > 20_000) {
			await client.read()
			await nextTurn()
			expect(drained).toBe(false)
		}
		await client.take()
		void client.read()
		await draining
		expect(stream.message({ data: '' })).toBe(true)
	})

	it('with drop gets nothing that its reset says it has missed', async () => {
		const client = open({ history: { size: 10 }, slow: 'drop', maxBuffer: 100_000 })
		const { manager } = client
		await nextTurn()
		await client.flood(10_000)
		await client.take()
		// In the tick in which it asks for more: sent before, so it belongs to what was left out.
		const same = manager.send('a', { event: 'same tick', data: '' })
		const reading = client.read()
		const id = await same
		await reading
		void manager.send('a', { event: 'next', data: '' })
		while (client.events.at(-1)?.event !== 'next') await client.read()
		const events = client.events.filter(({ event }) => event !== 'flood')
		expect(events.map(({ event }) => event)).toEqual(['position', 'reset', 'next'])
		expect(events[1]?.id).toBe(id)
	})

	it('after a burst may be owed no more than maxBuffer again', async () => {
		const maxBuffer = 100_000
		const client = open({ maxBuffer })
		client.stream.message({ data: 'x'.repeat(10 * maxBuffer) })
		await client.take()
		// It asks for more, so it has taken everything.
		void client.read()
		await nextTurn()
		const most = await client.flood(10_000)
		expect(client.stream.closed).toBe(true)
		expect(most).toBeGreaterThan(maxBuffer / 2)
		expect(most).toBeLessThanOrEqual(maxBuffer)
	})
})

describe('a stream that is too slow for what was sent before in this tick', () => {
	it.each<[string, (stream: EvManagedStream) => void]>([
		['closes it', (stream) => stream.close()],
		['takes it off its channel', (stream) => stream.unlisten('a')],
	])('ends as slow, once, and as the listener it was, if the app %s', async (_what, act) => {
		const { manager, stream } = open({ maxBuffer: 20_000 })
		const endings: unknown[] = []
		stream.onClose((channels, reason) => void endings.push({ channels, reason }))
		for (let n = 0; n < 3; n++) {
			void manager.send('a', { data: 'x'.repeat(6_000) })
			for (let turn = 0; turn < 6; turn++) await nextTurn()
		}
		void manager.send('a', { data: 'x'.repeat(6_000) })
		expect(stream.closed).toBe(false)
		act(stream)
		await nextTurn()
		expect(endings).toEqual([{ channels: ['a'], reason: 'slow' }])
		expect(manager.stats()).toMatchObject({ slowDisconnects: 1, connections: 0, ending: 0 })
	})
})

describe('a client for which more than half of maxBuffer waits', () => {
	it('is behind, although its transport asks for no pause, until its stream ends', async () => {
		const { manager, stream } = open({ maxBuffer: 40_000 })
		expect(stream.message({ data: 'x'.repeat(10_000) })).toBe(true)
		expect(stream.message({ data: 'x'.repeat(15_000) })).toBe(false)
		expect(manager.stats().bufferedBytes).toBeLessThan(65_536)
		stream.close()
		await stream.drain()
	})
})

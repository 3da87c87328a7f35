import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { EvStreamManager } from '../src/index.js'
import { parse } from './support/parse.js'

/** A web stream whose body is read as it comes. */
function join(manager: EvStreamManager, channels: readonly string[], lastEventId?: string) {
	const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
	const { stream, response } = manager.createResponse(new Request('http://a/', { headers }))
	for (const channel of channels) stream.listen(channel)
	let text = ''
	const read = async () => {
		for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) text += part
	}
	read().catch(() => {})
	return {
		stream,
		/** What it got since this was called last. */
		take() {
			const { events } = parse(text)
			text = ''
			return events
		},
	}
}

describe('a stream whose channels are silent', () => {
	beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
	afterEach(() => void vi.useRealTimers())

	/** Moves the clock, and lets what is written be read. */
	async function pass(ms: number): Promise<void> {
		await vi.advanceTimersByTimeAsync(ms)
		await new Promise((resolve) => setImmediate(resolve))
	}

	it('is told where it stands each minute in which something else was sent, and otherwise not', async () => {
		const manager = new EvStreamManager({ history: { size: 10 } })
		const silent = join(manager, ['silent'])
		const busy = join(manager, ['busy'])
		const none = join(manager, [])
		await pass(0)
		expect([silent, busy, none].map(({ take }) => take().map(({ event }) => event))).toEqual([
			['position'],
			['position'],
			[],
		])
		await pass(61_000)
		// Nothing was sent: it stands where it was told.
		expect(silent.take()).toEqual([])
		await pass(10_000)
		const id = await manager.send('busy', { event: 'busy', data: '' })
		await pass(51_000)
		expect(silent.take()).toEqual([{ event: 'position', id, data: '' }])
		expect(busy.take().map(({ event }) => event)).toEqual(['busy'])
		expect(none.take()).toEqual([])
		await pass(60_000)
		expect(silent.take()).toEqual([])
		await manager.close()
		expect(vi.getTimerCount()).toBe(0)
	})

	it('is not reset for channels that came and went, when it comes back with what it was told', async () => {
		const manager = new EvStreamManager({ history: { size: 10, ttl: 1_000 } })
		const client = join(manager, ['quiet'])
		await pass(0)
		const [first] = client.take()
		let told = first?.id
		// Fifty channels that live for a moment, each remembered for two minutes more.
		for (let n = 0; n < 50; n++) {
			await manager.send(`short-lived ${n}`, { data: '' })
			await pass(10_000)
			told = client.take().findLast(({ id }) => id !== undefined)?.id ?? told
		}
		client.stream.close()
		const back = join(manager, ['quiet'], told)
		const old = join(manager, ['quiet'], first?.id)
		await pass(0)
		expect(back.take().map(({ event }) => event)).toEqual(['position'])
		// Without it there would have been a reset.
		expect(old.take().map(({ event }) => event)).toEqual(['reset'])
	})

	it('is told within the same second as a thousand others', async () => {
		const manager = new EvStreamManager({ history: { size: 10 }, keepAlive: false })
		const streams = Array.from({ length: 1_000 }, () => join(manager, ['silent']))
		await pass(0)
		for (const { take } of streams) take()
		const id = await manager.send('other', { data: '' })
		await pass(60_100)
		for (const { take } of streams) expect(take()).toEqual([{ event: 'position', id, data: '' }])
	})

	it('is not told while it is behind, but when it has caught up', async () => {
		const manager = new EvStreamManager({ history: { size: 10 }, stallTimeout: 600_000, keepAlive: false })
		const { stream, response } = manager.createResponse(new Request('http://a/'))
		stream.listen('silent')
		await pass(0)
		stream.message({ data: 'x'.repeat(100_000) })
		const id = await manager.send('other', { data: '' })
		const { bufferedBytes } = manager.stats()
		await pass(130_000)
		expect(manager.stats().bufferedBytes).toBe(bufferedBytes)
		let text = ''
		const reading = (async () => {
			for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) text += part
		})()
		await pass(0)
		await stream.drain()
		await pass(60_000)
		stream.close()
		await pass(0)
		await reading
		const events = parse(text).events.map(({ event, id: of }) => [event, of])
		expect(events.slice(-3)).toEqual([
			[undefined, undefined],
			['position', id],
			['end', undefined],
		])
	})
})

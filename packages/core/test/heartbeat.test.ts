import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type EvConnectionOptions, EvStreamManager } from '../src/index.js'

/** Takes down what a client reads and when, in ms since the stream began; a web response needs no socket. */
async function open(options: EvConnectionOptions) {
	const manager = new EvStreamManager(options)
	const start = performance.now()
	const { stream, response } = manager.createResponse(new Request('http://localhost/'))
	const seen: string[] = []
	const read = async () => {
		const decoder = new TextDecoder()
		for await (const part of response.body ?? []) {
			const text = decoder.decode(part)
			const what = /^event:(.*)$/m.exec(text)?.[1] ?? (text.startsWith(':') ? 'comment' : 'message')
			seen.push(`${what} ${Math.round(performance.now() - start)}`)
		}
	}
	void read()
	await vi.advanceTimersByTimeAsync(0)
	// The comment every web response opens with.
	expect(seen.splice(0)).toEqual(['comment 0'])
	return { manager, stream, seen, pass: (ms: number) => vi.advanceTimersByTimeAsync(ms) }
}

beforeEach(() => {
	vi.useFakeTimers()
})

afterEach(() => {
	vi.useRealTimers()
})

describe('a heartbeat', () => {
	it('comes once in each interval of silence', async () => {
		const { seen, pass } = await open({ heartbeat: 100 })
		await pass(350)
		expect(seen).toEqual(['heartbeat 100', 'heartbeat 200', 'heartbeat 300'])
	})

	it('is counted from the last event, and does not come while events do', async () => {
		const { stream, manager, seen, pass } = await open({ heartbeat: 100 })
		stream.listen('a')
		await pass(60)
		stream.message({ data: '' })
		await pass(60)
		manager.send('a', { data: '' })
		await pass(99)
		expect(seen).toEqual(['message 60', 'message 120'])
		await pass(1)
		expect(seen.at(-1)).toBe('heartbeat 220')
	})

	it('is not put off by keep-alive comments', async () => {
		const { seen, pass } = await open({ heartbeat: 100, keepAlive: 40 })
		await pass(200)
		expect(seen).toEqual([
			'comment 40',
			'comment 80',
			'heartbeat 100',
			'comment 140',
			'comment 180',
			'heartbeat 200',
		])
	})

	it('ends with the stream', async () => {
		const { stream, seen, pass } = await open({ heartbeat: 100 })
		await pass(50)
		stream.close()
		await pass(500)
		expect(seen).toEqual(['end 50'])
		expect(vi.getTimerCount()).toBe(0)
	})
})

describe('a keep-alive comment', () => {
	it('comes after 15 s of silence unless it is told otherwise', async () => {
		const { seen, pass } = await open({})
		await pass(31_000)
		expect(seen).toEqual(['comment 15000', 'comment 30000'])
	})

	it('is counted from the last event', async () => {
		const { stream, seen, pass } = await open({ keepAlive: 100 })
		await pass(60)
		stream.message({ data: '' })
		await pass(150)
		expect(seen).toEqual(['message 60', 'comment 160'])
	})

	it('never comes where it is turned off', async () => {
		const { seen, pass } = await open({ keepAlive: false })
		await pass(600_000)
		expect(seen).toEqual([])
	})
})

describe('a comment', () => {
	it('comes once in each interval, however often its client is looked at', async () => {
		const { seen, pass } = await open({ keepAlive: 10_000, stallTimeout: 1_000 })
		await pass(35_000)
		expect(seen).toEqual(['comment 10000', 'comment 20000', 'comment 30000'])
	})
})

describe('a heartbeat that is about to fall due when the app closes the stream', () => {
	it('goes before the end, and one that is not due does not', async () => {
		for (const [closed, last] of [
			[991, ['heartbeat 991', 'end 991']],
			[980, ['end 980']],
		] as const) {
			const { stream, seen, pass } = await open({ heartbeat: 1_000 })
			await pass(closed)
			stream.close()
			await pass(0)
			expect(seen).toEqual(last)
		}
	})
})

describe('a message that takes more than half of maxBuffer', () => {
	it('puts the heartbeat off as any other', async () => {
		const { stream, seen, pass } = await open({ heartbeat: 100, maxBuffer: 200 })
		await pass(50)
		stream.message({ data: 'x'.repeat(300) })
		await pass(100)
		expect(seen).toEqual(['message 50', 'heartbeat 150'])
	})
})

describe('a client that takes nothing', () => {
	it('leaves no deadline behind when it goes, however often the line was looked at', async () => {
		const manager = new EvStreamManager({ keepAlive: 100, stallTimeout: 10_000 })
		const client = new AbortController()
		const { stream } = manager.createResponse(new Request('http://localhost/', { signal: client.signal }))
		stream.message({ data: 'not taken' })
		await vi.advanceTimersByTimeAsync(1_000)
		expect(stream.closed).toBe(false)
		client.abort()
		expect(stream.closed).toBe(true)
		expect(vi.getTimerCount()).toBe(0)
	})
})

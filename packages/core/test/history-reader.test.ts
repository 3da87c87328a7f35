import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type HistoryPage, HistoryReader } from '../src/history.js'
import {
	type ChannelLog,
	type LogEntry,
	type LogPosition,
	type LogRetention,
	MemoryLog,
} from '../src/index.js'
import { Timers } from '../src/timers.js'

/** A memory log, or the same behind a network: then a test answers its reads. */
function open({
	isAsync = false,
	retention = () => ({ size: 10_000, ttl: 60_000 }),
}: {
	isAsync?: boolean
	retention?: (channel: string) => LogRetention
} = {}) {
	const memory = new MemoryLog(
		{ deliver() {}, reset() {}, direct() {}, error() {} },
		{ retention, resumable: true, instance: 'test-' },
	)
	const reads: { answer: () => void; fail: (error: Error) => void }[] = []
	const log: Pick<ChannelLog, 'read'> = {
		read: (channels, start) => {
			if (!isAsync) return memory.read(channels, start)
			const page = memory.read(channels, start)
			return new Promise((resolve, reject) => {
				reads.push({ answer: () => resolve(page), fail: reject })
			})
		},
	}
	const timers = new Timers()
	const isPrivate = (entry: LogEntry) => entry.except !== undefined
	const reader = new HistoryReader(log, { retention, isPrivate, timers })
	return { memory, reads, reader, timers }
}

/** What a synchronous log gives. */
function now(page: HistoryPage | Promise<HistoryPage>): HistoryPage {
	if (page instanceof Promise) throw new Error('It was not given at once')
	return page
}

function payloads({ entries }: HistoryPage): string[] {
	return entries.map(({ payload }) => payload)
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('a page of a log that answers at once', () => {
	it('has one frame for all who read the same entries', () => {
		const { memory, reader } = open()
		const start = memory.position
		memory.append('a', 'data:1\n\n')
		memory.append('b', 'data:2\n\n')
		const page = now(reader.read(['a', 'b'], { after: start }, undefined))
		expect(page.frame?.plain.toString()).toBe(
			`id:${start.epoch}-1\ndata:1\n\nid:${start.epoch}-2\ndata:2\n\n`,
		)
		expect(now(reader.read(['b', 'a', 'c'], { after: start }, undefined)).frame).toBe(page.frame)
		expect(now(reader.read(['a', 'b'], { last: 1 }, undefined)).frame).toBe(page.frame)
		const other = now(reader.read(['a'], { after: start }, undefined))
		expect(other.frame?.plain.toString()).toBe(`id:${start.epoch}-1\ndata:1\n\n`)
	})

	it('is not taken for another one that begins and ends with the same entries', () => {
		const { memory, reader } = open()
		const start = memory.position
		for (const channel of ['a', 'b', 'c', 'a']) memory.append(channel, `data:${channel}\n\n`)
		const texts = (channels: string[]) =>
			now(reader.read(channels, { after: start }, undefined))
				.frame?.plain.toString()
				.match(/data:./g)
		expect(texts(['a', 'b'])).toEqual(['data:a', 'data:b', 'data:a'])
		expect(texts(['a', 'c'])).toEqual(['data:a', 'data:c', 'data:a'])
	})

	it('has no frame if there is nothing in it', () => {
		const { memory, reader } = open()
		expect(now(reader.read(['a'], { after: memory.position }, undefined))).toMatchObject({
			entries: [],
			frame: undefined,
			hidden: [],
		})
	})

	it('has a frame of all, and says what not everybody may see', () => {
		const { memory, reader } = open()
		const start = memory.position
		memory.append('a', 'data:1\n\n')
		memory.append('a', 'data:2\n\n', 'somebody')
		const page = now(reader.read(['a'], { after: start }, undefined))
		expect(page.hidden.map(({ payload }) => payload)).toEqual(['data:2\n\n'])
		expect(page.frame?.plain.toString()).toContain('data:2')
		const again = now(reader.read(['a'], { after: start }, undefined))
		expect([again.frame, again.hidden]).toEqual([page.frame, page.hidden])
		expect(again.frame).toBe(page.frame)
	})

	it('is what the log gives now, and not what it gave a moment ago', () => {
		const { memory, reader } = open({ retention: () => ({ size: 10, ttl: 100 }) })
		const start = memory.position
		memory.append('a', 'data:1\n\n')
		expect(payloads(now(reader.read(['a'], { after: start }, undefined)))).toEqual(['data:1\n\n'])
		memory.append('a', 'data:2\n\n')
		expect(payloads(now(reader.read(['a'], { after: start }, undefined)))).toHaveLength(2)
		vi.advanceTimersByTime(100)
		expect(now(reader.read(['a'], { after: start }, undefined)).reset).toBe('trimmed')
	})
})

describe('a page of a log that answers later', () => {
	const at = (position: LogPosition, by: number) => ({ ...position, seq: position.seq + by })

	it('is read once for all who ask while it is on its way, and for a moment after that', async () => {
		const { memory, reader, reads } = open({ isAsync: true })
		const start = memory.position
		memory.append('a', 'data:1\n\n')
		const asked = [1, 2, 3].map(() => reader.read(['a'], { after: start }, at(start, 1)))
		expect(reads).toHaveLength(1)
		reads[0]?.answer()
		const [page, ...others] = await Promise.all(asked)
		expect(others).toEqual([page, page])
		expect(others.every((other) => other === page)).toBe(true)
		vi.advanceTimersByTime(999)
		expect(await reader.read(['a'], { after: start }, at(start, 1))).toBe(page)
		vi.advanceTimersByTime(1)
		reader.read(['a'], { after: start }, at(start, 1))
		expect(reads).toHaveLength(2)
	})

	it('is read again if it does not reach far enough, once for all who need that', async () => {
		const { memory, reader, reads } = open({ isAsync: true })
		const start = memory.position
		memory.append('a', 'data:1\n\n')
		const early = reader.read(['a'], { after: start }, at(start, 1))
		memory.append('a', 'data:2\n\n')
		const late = [1, 2].map(() => reader.read(['a'], { after: start }, at(start, 2)))
		reads[0]?.answer()
		expect(payloads(await early)).toHaveLength(1)
		await vi.waitFor(() => expect(reads).toHaveLength(2))
		reads[1]?.answer()
		const [one, two] = await Promise.all(late)
		expect(one && payloads(one)).toHaveLength(2)
		expect(two).toBe(one)
		expect(reads).toHaveLength(2)
		memory.append('a', 'data:3\n\n')
		const latest = reader.read(['a'], { after: start }, at(start, 3))
		reads[2]?.answer()
		expect(payloads(await latest)).toHaveLength(3)
	})

	it('is read again after a failure, once for all who wait', async () => {
		const { memory, reader, reads } = open({ isAsync: true })
		const start = memory.position
		memory.append('a', 'data:1\n\n')
		const [first, ...others] = [1, 2, 3].map(() => reader.read(['a'], { after: start }, at(start, 1)))
		reads[0]?.fail(new Error('out of reach'))
		await expect(first).rejects.toThrow('out of reach')
		await vi.waitFor(() => expect(reads).toHaveLength(2))
		reads[1]?.answer()
		for (const page of await Promise.all(others)) expect(payloads(page)).toEqual(['data:1\n\n'])
		expect(reads).toHaveLength(2)
	})

	it('is not shared by reads that begin elsewhere', async () => {
		const { memory, reader, reads } = open({ isAsync: true })
		const start = memory.position
		memory.append('a', 'data:1\n\n')
		memory.append('b', 'data:2\n\n')
		const since = (seq: number) => new Map([['a', seq]])
		const asked = [
			reader.read(['a'], { after: start }, undefined),
			reader.read(['a', 'b'], { after: start }, undefined),
			reader.read(['a'], { after: at(start, 1) }, undefined),
			reader.read(['a'], { after: start, since: since(1) }, undefined),
			reader.read(['a'], { after: start, since: since(2) }, undefined),
			reader.read(['a'], { last: since(1) }, undefined),
			reader.read(['a'], { last: 1 }, undefined),
		]
		expect(reads).toHaveLength(asked.length)
		for (const { answer } of reads) answer()
		expect((await Promise.all(asked)).map((page) => page.entries.length)).toEqual([1, 2, 0, 0, 0, 1, 1])
	})

	it('is not used for longer than a message of one of its channels is kept', async () => {
		const retention = (channel: string) => ({ size: 10, ttl: channel === 'short' ? 50 : 60_000 })
		const { memory, reader, reads } = open({ isAsync: true, retention })
		const start = memory.position
		memory.append('short', 'data:1\n\n')
		const first = reader.read(['long', 'short'], { after: start }, undefined)
		reads[0]?.answer()
		await first
		vi.advanceTimersByTime(49)
		expect(await reader.read(['long', 'short'], { after: start }, undefined)).toBe(await first)
		vi.advanceTimersByTime(1)
		const second = reader.read(['long', 'short'], { after: start }, undefined)
		reads[1]?.answer()
		expect((await second).reset).toBe('trimmed')
	})
})

describe('the pages that are remembered', () => {
	it('are bounded in bytes and in number', () => {
		const { memory, reader } = open()
		const start = memory.position
		for (let n = 0; n < 400; n++) memory.append('a', `data:${'x'.repeat(60_000)}\n\n`)
		const positions = Array.from({ length: 400 }, (_, n) => ({ ...start, seq: start.seq + n }))
		for (const after of positions) {
			reader.read(['a'], { after }, undefined)
			expect(reader.cachedBytes).toBeLessThanOrEqual(16 * 1_048_576)
		}
		// 64 pages of 60,000 characters and their frame.
		expect(reader.cachedBytes).toBeGreaterThan(64 * 120_000)
		expect(reader.cachedBytes).toBeLessThan(65 * 120_200)
		memory.append('b', `data:${'x'.repeat(10_000_000)}\n\n`)
		const large = now(reader.read(['b'], { last: 1 }, undefined))
		expect(now(reader.read(['b'], { last: 1 }, undefined)).frame).toBe(large.frame)
		// Larger than the bound, and so alone.
		expect(reader.cachedBytes).toBeLessThan(20_001_000)
	})

	it('are forgotten after a moment without anybody asking', () => {
		const { memory, reader, timers } = open()
		memory.append('a', 'data:1\n\n')
		reader.read(['a'], { last: 1 }, undefined)
		expect([reader.cachedBytes > 0, timers.size]).toEqual([true, 1])
		vi.advanceTimersByTime(1_000)
		expect([reader.cachedBytes, timers.size]).toEqual([0, 0])
	})
})

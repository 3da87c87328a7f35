import { describe, expect, it, vi } from 'vitest'
import { channelLogContract } from '../src/contract/channel-log-contract.js'
import { Deque } from '../src/deque.js'
import type { LogEntry, LogPage, LogReceiver, LogRetention, LogStart } from '../src/log.js'
import { MemoryLog } from '../src/memory-log.js'

channelLogContract(
	'memory',
	async () => ({ open: (receiver, options) => new MemoryLog(receiver, options), close: async () => {} }),
	{ shared: false },
	{ describe, it },
)

/** What an entry counts for beside its text, in bytes. */
const OVERHEAD = 200
/** How much longer than its `ttl` a silent channel is known, in ms. */
const GRACE = 120_000

function open(
	clock?: () => number,
	retention: (channel: string) => LogRetention = () => ({ size: 10, ttl: 1_000 }),
	maxTotalBytes?: number,
	resumable = true,
): { log: MemoryLog; delivered: LogEntry[] } {
	const delivered: LogEntry[] = []
	const receiver: LogReceiver = {
		deliver: (entry) => delivered.push(entry),
		reset: () => {},
		direct: () => {},
		error: () => {},
	}
	const options = { retention, maxTotalBytes, resumable, instance: 'test-' }
	return { log: new MemoryLog(receiver, options, clock), delivered }
}

/** Reads on to the end. */
function readAll(log: MemoryLog, channels: string[], start: LogStart): LogPage[] {
	const pages = [log.read(channels, start)]
	for (let page = pages[0]; page?.more; page = pages.at(-1)) {
		pages.push(log.read(channels, { after: page.upTo, since: page.since }))
	}
	return pages
}

function payloads({ entries }: LogPage): string[] {
	return entries.map(({ payload }) => payload)
}

describe('MemoryLog', () => {
	it('has delivered a message when append returns', () => {
		const { log, delivered } = open()
		log.append('a', 'data:1\n\n')
		expect(delivered.map(({ payload }) => payload)).toEqual(['data:1\n\n'])
	})

	it('keeps a message for its time, whatever the clock on the wall says', () => {
		// Replaced before the log is made, which may keep the function.
		const wall = vi.spyOn(Date, 'now').mockReturnValue(1e12)
		const { log } = open()
		const before = log.append('a', 'data:1\n\n')
		log.append('a', 'data:2\n\n')
		wall.mockReturnValue(1e12 + 3_600_000)
		expect(payloads(log.read(['a'], { after: before }))).toEqual(['data:2\n\n'])
		wall.mockReturnValue(0)
		log.append('a', 'data:3\n\n')
		expect(payloads(log.read(['a'], { after: before }))).toEqual(['data:2\n\n', 'data:3\n\n'])
		wall.mockRestore()
	})

	it('expires a message once its time is over', () => {
		let time = 5
		const { log } = open(() => time)
		const before = log.position
		log.append('a', 'data:1\n\n')
		time = 1_004
		expect(payloads(log.read(['a'], { after: before }))).toEqual(['data:1\n\n'])
		time = 1_005
		expect(log.read(['a'], { after: before }).reset).toBe('trimmed')
		expect(log.read(['a'], { last: 1 }).entries).toEqual([])
	})

	it('knows nothing of channels if nobody can come back', () => {
		const { log, delivered } = open(undefined, undefined, undefined, false)
		const start = log.position
		for (const channel of ['a', 'b', 'a']) log.append(channel, 'data:\n\n')
		expect(delivered.map(({ channel, prev, seq }) => [channel, prev, seq])).toEqual([
			['a', 0, 1],
			['b', 1, 2],
			['a', 2, 3],
		])
		expect([log.channels, log.bytes]).toEqual([0, 0])
		expect(log.read(['a'], { after: start }).reset).toBe('trimmed')
		expect(log.read(['a'], { after: log.position }).reset).toBeUndefined()
	})

	it('gives nothing more once it is closed', () => {
		const { log } = open()
		log.append('a', 'data:1\n\n')
		log.close()
		expect([log.bytes, log.channels, log.read(['a'], { last: 1 }).entries.length]).toEqual([0, 0, 0])
		log.append('a', 'data:2\n\n')
		expect(log.bytes).toBe(8 + OVERHEAD)
	})
})

describe('the channels of a MemoryLog', () => {
	it('are forgotten when they came and went, and who may have missed something of them is reset', () => {
		let time = 0
		const { log } = open(() => time)
		const before = log.append('kept', 'data:0\n\n')
		for (let n = 0; n < 10_000; n++) log.append(`c${n}`, 'data:1\n\n')
		time = 1_000 + GRACE
		for (let n = 0; n < 10_000; n++) log.append('busy', 'data:2\n\n')
		expect(log.channels).toBe(1)
		expect(log.read(['c5'], { after: before }).reset).toBe('trimmed')
		expect(log.read(['c5'], { after: log.position }).reset).toBeUndefined()
		const again = log.append('c5', 'data:3\n\n')
		expect(log.read(['c5'], { after: before }).reset).toBe('trimmed')
		expect(log.read(['c5'], { after: { epoch: again.epoch, seq: again.seq - 1 } }).entries).toHaveLength(1)
	})

	it('are known for two minutes after their last message has expired', () => {
		let time = 0
		const { log } = open(() => time)
		log.append('short-lived', 'data:0\n\n')
		const quiet = log.position
		for (let n = 0; n < 50; n++) log.append(`short-lived ${n}`, 'data:1\n\n')
		time = 999 + GRACE
		for (let n = 0; n < 100; n++) log.append('busy', 'data:2\n\n')
		expect(log.channels).toBe(52)
		expect(log.read(['never'], { after: quiet }).reset).toBeUndefined()
		expect(log.read(['short-lived 3'], { after: quiet }).reset).toBe('trimmed')
		time++
		for (let n = 0; n < 100; n++) log.append('busy', 'data:2\n\n')
		expect(log.channels).toBe(1)
		expect(log.read(['never'], { after: quiet }).reset).toBe('trimmed')
	})

	it('are forgotten also behind one that is kept for long', () => {
		let time = 0
		const { log } = open(
			() => time,
			(channel) => ({ size: 10, ttl: channel === 'long' ? 1e9 : 1_000 }),
		)
		log.append('long', 'data:0\n\n')
		for (let n = 0; n < 1_000; n++) log.append(`c${n}`, 'data:1\n\n')
		time = 1_000 + GRACE
		for (let n = 0; n < 1_500; n++) log.append('busy', 'data:2\n\n')
		expect(log.channels).toBe(2)
		expect(log.read(['long'], { last: 1 }).entries).toHaveLength(1)
	})

	it('reset whom they may concern also if a channel is forgotten that ended earlier than another one', () => {
		let time = 0
		const { log } = open(
			() => time,
			(channel) => ({ size: 10, ttl: channel === 'early' ? 10_000 : 1_000 }),
		)
		log.append('early', 'data:1\n\n')
		const between = log.append('kept', 'data:2\n\n')
		log.append('late', 'data:3\n\n')
		const after = log.position
		time = 1_000 + GRACE
		for (let n = 0; n < 10; n++) log.append('kept', 'data:4\n\n')
		expect(log.channels).toBe(2)
		time = 10_000 + GRACE
		for (let n = 0; n < 10; n++) log.append('kept', 'data:4\n\n')
		expect(log.channels).toBe(1)
		expect(log.read(['late'], { after: between }).reset).toBe('trimmed')
		expect(log.read(['late'], { after }).reset).toBeUndefined()
	})

	it('are remembered for the same time if they keep nothing', () => {
		let time = 0
		const { log } = open(
			() => time,
			(channel) => ({ size: channel === 'fleeting' ? 0 : 10, ttl: 1_000 }),
		)
		const start = log.append('kept', 'data:0\n\n')
		for (let n = 0; n < 10; n++) {
			log.append('fleeting', 'data:1\n\n')
			log.append('kept', 'data:2\n\n')
		}
		expect(log.read(['new'], { after: start }).reset).toBeUndefined()
		expect(log.read(['fleeting'], { after: start }).reset).toBe('trimmed')
		time = 1_000 + GRACE
		for (let n = 0; n < 10; n++) log.append('kept', 'data:2\n\n')
		expect(log.channels).toBe(1)
		expect(log.read(['fleeting'], { after: start }).reset).toBe('trimmed')
	})
})

describe('a page of a MemoryLog', () => {
	it('costs what it gives, however much is kept', () => {
		const [channels, each] = [200, 1_000]
		const { log } = open(undefined, () => ({ size: each, ttl: 60_000 }))
		const start = log.position
		for (let n = 0; n < channels * each; n++) log.append(`c${n % channels}`, 'data:\n\n')
		const names = Array.from({ length: channels }, (_, n) => `c${n}`)
		const { at } = Deque.prototype
		let looked = 0
		Deque.prototype.at = function (index) {
			looked++
			return at.call(this, index)
		}
		const pages = readAll(log, names, { after: start })
		Deque.prototype.at = at
		expect(pages.map(({ entries }) => entries.length)).toEqual(Array(200).fill(1_000))
		const seqs = pages.flatMap(({ entries }) => entries.map(({ seq }) => seq))
		expect(seqs.every((seq, n) => seq === start.seq + n + 1)).toBe(true)
		// One for each entry, and the search for the beginning of each channel.
		expect(looked).toBeGreaterThan(channels * each)
		expect(looked).toBeLessThan(channels * each + pages.length * channels * 20)
	})

	it('has no more text than 64 KiB, but for a single message', () => {
		const { log } = open(undefined, () => ({ size: 100, ttl: 60_000 }))
		const start = log.position
		for (const length of [30_000, 35_536, 1, 65_536, 1, 200_000, 200_000, 3])
			log.append('a', 'x'.repeat(length))
		const lengths = (pages: LogPage[]) => pages.map((page) => payloads(page).map(({ length }) => length))
		const expected = [[30_000, 35_536], [1], [65_536], [1], [200_000], [200_000], [3]]
		expect(lengths(readAll(log, ['a'], { after: start }))).toEqual(expected)
		expect(lengths(readAll(log, ['a'], { last: 5 }))).toEqual([[65_536], [1], [200_000], [200_000], [3]])
	})
})

describe('the bounds of a MemoryLog', () => {
	const cost = (text: string) => text.length + OVERHEAD

	it('count the UTF-8 bytes of what is kept, and what an entry takes beside', () => {
		const { log } = open()
		log.append('a', 'data:ü\n\n')
		expect(log.bytes).toBe(9 + OVERHEAD)
		log.append('b', 'data:1\n\n', 'stream')
		expect(log.bytes).toBe(9 + OVERHEAD + 8 + 6 + OVERHEAD)
	})

	it('let the oldest messages of a channel go first when they take too much', () => {
		const { log } = open(undefined, () => ({ size: 100, ttl: 60_000, maxBytes: 3 * cost('1') }))
		const positions = ['1', '2', '3', '4'].map((text) => log.append('a', text))
		expect(log.bytes).toBe(3 * cost('1'))
		log.append('b', '5')
		expect(payloads(log.read(['a', 'b'], { last: 9 }))).toEqual(['2', '3', '4', '5'])
		const [first] = positions
		expect(first && payloads(log.read(['a'], { after: first }))).toEqual(['2', '3', '4'])
		log.append('a', 'x'.repeat(1 + cost('1')))
		expect(payloads(log.read(['a'], { last: 9 }))).toHaveLength(2)
		expect(first && log.read(['a'], { after: first }).reset).toBe('trimmed')
	})

	it('let the oldest message of all channels go first when all together take too much', () => {
		const { log } = open(undefined, () => ({ size: 3, ttl: 60_000 }), 5 * cost('1'))
		const start = log.position
		for (const [channel, text] of [
			['quiet', '1'],
			['busy', '2'],
			['other', '3'],
			['busy', '4'],
			['busy', '5'],
			['busy', '6'],
		] as const)
			log.append(channel, text)
		// The fourth of the busy channel pushed out its first.
		expect(payloads(log.read(['quiet', 'busy', 'other'], { last: 9 }))).toEqual(['1', '3', '4', '5', '6'])
		log.append('new', '7')
		expect(log.read(['quiet'], { after: start }).reset).toBe('trimmed')
		expect(payloads(log.read(['other'], { after: start }))).toEqual(['3'])
		log.append('new', 'x'.repeat(1 + cost('1')))
		expect(log.bytes).toBe(5 * cost('1'))
		expect(payloads(log.read(['other', 'busy'], { last: 9 }))).toEqual(['5', '6'])
	})

	it.each([
		['a channel', 1_000, undefined],
		['all channels', undefined, 1_000],
	])(
		'keep nothing of a message that is larger than %s may be, nor what lies before it',
		(_, maxBytes, total) => {
			const { log, delivered } = open(undefined, () => ({ size: 10, ttl: 60_000, maxBytes }), total)
			const start = log.position
			log.append('a', '1')
			log.append('b', '2')
			const large = log.append('a', 'x'.repeat(1_001 - OVERHEAD))
			expect(delivered).toHaveLength(3)
			expect(log.bytes).toBe(cost('2'))
			expect(log.read(['a'], { after: start }).reset).toBe('trimmed')
			expect(payloads(log.read(['b'], { after: start }))).toEqual(['2'])
			log.append('a', '3')
			expect(log.read(['a'], { after: start }).reset).toBe('trimmed')
			expect(payloads(log.read(['a'], { after: large }))).toEqual(['3'])
			log.append('b', 'x'.repeat(1_000 - OVERHEAD))
			expect(payloads(log.read(['b'], { last: 1 }))).toHaveLength(1)
		},
	)

	it('hold at once when a channel is to keep much less than before', () => {
		let size = 3_000
		const { log } = open(undefined, () => ({ size, ttl: 60_000 }))
		const start = log.position
		for (let n = 1; n <= 3_000; n++) log.append('a', `${n}`)
		size = 2
		log.append('a', '3001')
		expect(payloads(log.read(['a'], { last: 9 }))).toEqual(['3000', '3001'])
		expect(log.read(['a'], { after: { ...start, seq: 2_998 } }).reset).toBe('trimmed')
		expect(payloads(log.read(['a'], { after: { ...start, seq: 2_999 } }))).toEqual(['3000', '3001'])
	})

	it('let go what has expired on silent channels, with each message a part of it', () => {
		let time = 0
		const { log } = open(
			() => time,
			(channel) => ({ size: 10_000, ttl: channel === 'silent' ? 1_000 : 1e9 }),
		)
		for (let n = 0; n < 5_000; n++) log.append('silent', '1')
		time = 1_000
		const before = log.bytes
		log.append('busy', '2')
		expect(log.read(['silent'], { last: 9 }).entries).toEqual([])
		expect(log.bytes).toBeLessThan(before)
		// A million of them must not hold everybody up.
		expect(log.bytes).toBeGreaterThan(before / 2)
		for (let n = 0; n < 20; n++) log.append('busy', '2')
		expect(log.bytes).toBe(21 * cost('2'))
	})

	it('let go what has expired also while nothing is sent', () => {
		let time = 0
		const { log } = open(() => time)
		for (let n = 0; n < 1_500; n++) log.append(`c${n}`, '1')
		time = 1_000
		log.expire()
		expect(log.bytes).toBe(500 * cost('1'))
		log.expire()
		expect(log.bytes).toBe(0)
		expect(log.channels).toBe(1_500)
		time += GRACE
		for (let n = 0; n < 3; n++) log.expire()
		expect(log.channels).toBe(0)
	})
})

import type { LogEntry } from '@evstream/core'
import { describe, expect, it } from 'vitest'
import { ChannelMerge } from '../src/channel-merge.js'
import type { ReadBudget } from '../src/log-reads.js'
import type { Wanted } from '../src/read-slice.js'
import { useRedis } from './support/log-instances.js'
import { Random } from './support/random.js'
import { type ReadsSetup, type Sent, setUpReads } from './support/read-setup.js'

const redis = useRedis()
const MOST: ReadBudget = { entries: 1_000, bytes: 524_288 }

const TTL = 1_800_000
/** The most entries that the script asks a channel for at a time. */
const CHUNK = 64

/** Reads to the end, and checks each step. */
async function readAll({ read }: ReadsSetup, wanted: readonly Wanted[], budget: ReadBudget, largest = 0) {
	const merge = new ChannelMerge(wanted)
	const taken: LogEntry[] = []
	let reads = 0
	let brought = 0
	while (!merge.isFinished) {
		const answer = await read(merge.next(), budget)
		const entries = answer.channels.flatMap((channel) => channel.entries)
		expect(entries.length).toBeLessThanOrEqual(budget.entries)
		const length = entries.reduce((sum, { payload }) => sum + payload.length, 0)
		// Sizes are guessed from what was read: it may be wrong by one chunk of a channel.
		expect(length).toBeLessThanOrEqual(budget.bytes + CHUNK * largest)
		expect(merge.add(answer)).toBe(true)
		taken.push(...merge.take())
		brought += entries.length
		if (++reads > 2_000) throw new Error('It does not end.')
	}
	return { taken, reads, brought, merge }
}

const plain = (entries: readonly (LogEntry | Sent)[]): Sent[] =>
	entries.map(({ channel, seq, payload }) => ({ channel, seq, payload }))

describe('reading channels', () => {
	it('agrees with a list, reads each entry once, and keeps its budget, whatever the channels are like', async () => {
		const seed = Math.floor(Math.random() * 2 ** 32)
		const random = new Random(seed)
		for (let round = 0; round < 12; round++) {
			const reads = setUpReads(redis())
			const count = 1 + random.below(40)
			const run = 1 + random.below(20)
			const largest = [20, 400, 8_000][random.below(3)] ?? 20
			const messages: [string, string][] = []
			while (messages.length < 1_500) {
				// Skewed: some channels have nearly everything.
				const channel = `c${Math.floor(count * random.next() ** 3)}`
				const size = 1 + random.below(random.below(10) === 0 ? largest : 20)
				for (let n = random.below(run); n >= 0; n--)
					messages.push([channel, `${messages.length} `.padEnd(size)])
			}
			const sent = await reads.send(messages)
			const budget = { entries: 20 + random.below(980), bytes: 2_000 + random.below(200_000) }
			const from = new Map(Array.from({ length: count + 2 }, (_, n) => [`c${n}`, random.below(600)]))
			const wanted = [...from].map(([name, after]): Wanted => ({ name, from: after, excused: true }))
			const { taken, brought } = await readAll(reads, wanted, budget, largest)
			const expected = sent.filter(({ channel, seq }) => seq > (from.get(channel) ?? 0))
			expect(plain(taken), `seed ${seed}`).toEqual(expected)
			expect(brought, `seed ${seed}`).toBe(expected.length)
		}
	})

	it('takes about as many reads as the budget demands, in whichever order the messages came', async () => {
		const names = Array.from({ length: 50 }, (_, n) => `c${n}`)
		for (const run of [1, 20, 200]) {
			const reads = setUpReads(redis())
			const messages: [string, string][] = []
			for (let n = 0; n < 200; n += run) {
				for (const name of names) for (let k = 0; k < run; k++) messages.push([name, 'x'])
			}
			await reads.send(messages)
			const { reads: steps } = await readAll(
				reads,
				names.map((name) => ({ name, from: 0 })),
				MOST,
			)
			expect(steps).toBeLessThanOrEqual(11)
		}
	})

	it('brings something in each read, also if one message is larger than the budget', async () => {
		const reads = setUpReads(redis())
		const messages = Array.from({ length: 60 }, (_, n): [string, string] => [
			`c${n % 30}`,
			'x'.repeat(20_000),
		])
		const sent = await reads.send(messages)
		const wanted = Array.from({ length: 30 }, (_, n) => ({ name: `c${n}`, from: 0 }))
		const { taken, reads: steps } = await readAll(reads, wanted, { entries: 100, bytes: 10_000 }, 20_000)
		expect(plain(taken)).toEqual(sent)
		expect(steps).toBeLessThanOrEqual(60)
	})

	it('ends where the log stood at the first read, and knows what is missing up to there', async () => {
		const reads = setUpReads(redis())
		await reads.send(Array.from({ length: 100 }, (_, n) => [n % 2 ? 'a' : 'b', 'x']))
		const merge = new ChannelMerge([
			{ name: 'a', from: 0 },
			{ name: 'b', from: 0 },
		])
		const budget = { entries: 10, bytes: 10_000 }
		merge.add(await reads.read(merge.next(), budget))
		await reads.send(Array.from({ length: 100 }, () => ['a', 'late']))
		await reads.client.xtrim(reads.names.channel('b'), 'MAXLEN', 5)
		const taken = merge.take()
		while (!merge.isFinished) {
			merge.add(await reads.read(merge.next(), budget))
			taken.push(...merge.take())
		}
		expect(merge.end?.seq).toBe(100)
		expect(merge.gaps()).toEqual(['b'])
		expect(taken.filter(({ channel }) => channel === 'a')).toHaveLength(50)
		expect(taken.every(({ payload }) => payload === 'x')).toBe(true)
	})

	it('knows that a message is missing of which nothing is left, although a later one is kept', async () => {
		const reads = setUpReads(redis())
		await reads.send([
			['a', '1'],
			['a', '2'],
		])
		const merge = new ChannelMerge([{ name: 'a', from: 1 }])
		const request = merge.next()
		await reads.send([['a', '3']])
		await reads.client.xtrim(reads.names.channel('a'), 'MAXLEN', 1)
		merge.add(await reads.read({ ...request, bound: 2 }, MOST))
		expect(merge.gaps()).toEqual(['a'])
	})

	it('finds the newest of each channel, however many that are', async () => {
		const reads = setUpReads(redis())
		const sent = await reads.send(Array.from({ length: 900 }, (_, n) => [n % 3 ? 'a' : 'b', `${n}`]))
		const newest = (channel: string, last: number): Sent[] =>
			sent.filter((message) => message.channel === channel).slice(-last)
		for (const [a, b] of [
			[1, 0],
			[10, 10],
			[450, 299],
			[600, 1_000],
			[599, 1],
		] as const) {
			for (const budget of [MOST, { entries: 50, bytes: 1_000_000 }]) {
				const wanted = [
					{ name: 'a', from: { last: a } },
					{ name: 'b', from: { last: b } },
					{ name: 'nothing', from: { last: 5 } },
				]
				const { taken } = await readAll(reads, wanted, budget)
				const expected = [...newest('a', a), ...(b === 0 ? [] : newest('b', b))]
				expect(plain(taken)).toEqual(expected.sort((one, other) => one.seq - other.seq))
			}
		}
	})

	it('leaves out what is over its ttl, and counts it as missing', async () => {
		const reads = setUpReads(redis())
		const old = await reads.send(Array.from({ length: 300 }, () => ['a', 'old']))
		await reads.age('a', 2 * TTL)
		await reads.send(Array.from({ length: 100 }, () => ['a', 'new']))
		const last = old.at(-1)?.seq ?? 0
		for (const [from, isMissing] of [
			[0, true],
			[last - 1, true],
			[last, false],
		] as const) {
			const { taken, merge } = await readAll(reads, [{ name: 'a', from, ttl: TTL }], MOST)
			expect(merge.gaps()).toEqual(isMissing ? ['a'] : [])
			expect(taken.map(({ payload }) => payload)).toEqual(
				isMissing ? [] : Array.from({ length: 100 }, () => 'new'),
			)
		}
		for (const count of [5, 150, 1_000]) {
			const { taken } = await readAll(reads, [{ name: 'a', from: { last: count }, ttl: TTL }], MOST)
			expect(taken.map(({ payload }) => payload)).toEqual(
				Array.from({ length: Math.min(count, 100) }, () => 'new'),
			)
		}
		const { taken } = await readAll(reads, [{ name: 'a', from: 0, ttl: 3 * TTL }], MOST)
		expect(taken).toHaveLength(400)
	})
})

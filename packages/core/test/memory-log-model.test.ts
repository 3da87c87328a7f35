import { expect, it } from 'vitest'
import { type LogEntry, type LogPage, type LogStart, MemoryLog } from '../src/index.js'
import { type Kept, LogModel, type Sent } from './support/log-model.js'

const SEEDS = 60
const STEPS = 400
/** A log remembers a silent channel for so much longer than its `ttl`. */
const GRACE = 120_000
const CHANNELS = ['a', 'b', 'c', 'd', 'e']

/** Whole numbers from 0 to below `limit`, the same ones for the same seed. */
function seeded(seed: number): (limit: number) => number {
	let state = seed
	return (limit) => {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
		return Math.floor((state / 2 ** 32) * limit)
	}
}

/** A log, its model, and random steps on both. */
class Run {
	readonly #random: (limit: number) => number
	readonly #retentions: Map<string, Kept>
	readonly #model: LogModel
	readonly #log: MemoryLog
	readonly #epoch: string
	#time = 0
	/** What reads found, so that a test can tell that it saw all of it. */
	readonly found = { complete: 0, trimmed: 0, paged: 0 }

	constructor(seed: number) {
		this.#random = seeded(seed)
		const pick = (...values: number[]) => values[this.#random(values.length)] ?? 0
		this.#retentions = new Map(
			CHANNELS.map((channel) => [
				channel,
				{
					size: pick(1, 5, 40, 1_000),
					ttl: pick(100, 5_000, 1e9),
					maxBytes: pick(1_000, 100_000, 400_000, Number.POSITIVE_INFINITY),
				},
			]),
		)
		const maxTotalBytes = pick(3_000, 300_000, Number.POSITIVE_INFINITY)
		this.#model = new LogModel(maxTotalBytes)
		this.#log = new MemoryLog(
			{ deliver: (entry) => this.#accepted(entry), reset() {}, direct() {}, error() {} },
			{ retention: (channel) => this.#retention(channel), maxTotalBytes, resumable: true, instance: 'test-' },
			() => this.#time,
		)
		this.#epoch = this.#log.position.epoch
	}

	step(): void {
		const what = this.#random(20)
		if (what < 13) this.#append()
		else if (what < 15) this.#readAfter()
		else if (what < 17) this.#readNewest()
		else if (what < 18) this.#log.expire()
		else if (what < 19) this.#time += [1, 30, 500][this.#random(3)] ?? 0
		else if (this.#random(10) === 0) this.#time += 150_000
		else this.#switch()
	}

	/** Everything expires. */
	end(): void {
		this.#time += 2e9
		for (let n = 0; n < 10; n++) this.#log.expire()
		expect([this.#log.bytes, this.#log.channels]).toEqual([0, 0])
	}

	#retention(channel: string): Kept {
		return this.#retentions.get(channel) ?? { size: 0, ttl: 1, maxBytes: 1 }
	}

	/** A channel keeps nothing from here on, or something again. */
	#switch(): void {
		const channel = this.#channel()
		const { size, ...kept } = this.#retention(channel)
		this.#retentions.set(channel, { ...kept, size: size === 0 ? 10 : 0 })
	}

	#channel(): string {
		return CHANNELS[this.#random(CHANNELS.length)] ?? 'a'
	}

	#channels(): string[] {
		return [...CHANNELS.filter(() => this.#random(2) === 0), 'never']
	}

	#append(): void {
		const length = [1, 1, 300, 20_000, 90_000][this.#random(5)] ?? 1
		const text = (this.#random(2) === 0 ? 'x' : 'ü').repeat(this.#random(length))
		this.#log.append(this.#channel(), text, this.#random(5) === 0 ? 'except' : undefined)
		expect(this.#log.bytes).toBeLessThanOrEqual(this.#model.maxTotalBytes)
	}

	#accepted(entry: LogEntry): void {
		this.#model.append(entry, this.#time, this.#retention(entry.channel))
	}

	#readAfter(): void {
		const { sent } = this.#model
		const seq = Math.max(0, sent.length - this.#random([3, 15, 1_000][this.#random(3)] ?? 1))
		const channels = this.#channels()
		const since = new Map<string, number>()
		for (const channel of channels)
			if (this.#random(3) === 0) since.set(channel, this.#random(sent.length + 1))
		const missed: Sent[] = []
		let must = true
		let can = true
		for (const channel of channels) {
			const own = this.#model.after(channel, Math.max(seq, since.get(channel) ?? 0))
			const { least, most } = this.#model.bounds(channel, this.#time)
			must &&= own.length <= least
			can &&= own.length <= most
			missed.push(...own)
		}
		missed.sort((a, b) => a.seq - b.seq)
		// A log may have forgotten when an old channel came, but for positions that were the newest a moment ago.
		const until = sent[seq]?.time ?? this.#time
		const isFresh = until > this.#time - GRACE
		const start = { after: { epoch: this.#epoch, seq }, since }
		const { entries, reset } = this.#readAll(channels, start)
		if (reset === undefined) {
			this.found.complete++
			expect(can).toBe(true)
			expect(entries.map(({ seq }) => seq)).toEqual(missed.map(({ seq }) => seq))
		} else {
			this.found.trimmed++
			expect(reset).toBe('trimmed')
			expect(must && isFresh).toBe(false)
		}
	}

	#readNewest(): void {
		const channels = this.#channels()
		const last = new Map(channels.map((channel) => [channel, [0, 1, 3, 1_000][this.#random(4)] ?? 0]))
		last.delete(CHANNELS[0] ?? '')
		const bounds = new Map(channels.map((channel) => [channel, this.#model.bounds(channel, this.#time)]))
		const head = this.#model.sent.length
		const { entries, reset } = this.#readAll(channels, { last }, () => this.#append())
		if (reset !== undefined) {
			// What came between two pages pushed out what had yet to be read.
			expect([reset, this.#model.sent.length > head]).toEqual(['trimmed', true])
			return
		}
		const seqs = entries.map(({ seq }) => seq)
		expect(seqs).toEqual(seqs.toSorted((a, b) => a - b))
		for (const channel of channels) {
			const own = entries.filter((entry) => entry.channel === channel).map(({ seq }) => seq)
			const all = this.#model.after(channel, 0).map(({ seq }) => seq)
			expect(own).toEqual(all.slice(all.length - own.length))
			const newest = own.filter((seq) => seq <= head).length
			const { least = 0, most = 0 } = bounds.get(channel) ?? {}
			const asked = last.get(channel) ?? 0
			expect(newest).toBeGreaterThanOrEqual(Math.min(asked, least))
			expect(newest).toBeLessThanOrEqual(Math.min(asked, most))
		}
	}

	/** Reads page by page. */
	#readAll(
		channels: string[],
		start: LogStart,
		between: () => void = () => {},
	): { entries: LogEntry[]; reset: LogPage['reset'] } {
		let page = this.#log.read(channels, start)
		const entries = [...page.entries]
		while (page.more) {
			this.found.paged++
			const { length } = page.entries.map(({ payload }) => payload).join('')
			expect(length <= 65_536 || page.entries.length === 1).toBe(true)
			expect(page.upTo).toEqual({ epoch: this.#epoch, seq: page.entries.at(-1)?.seq })
			between()
			page = this.#log.read(channels, { after: page.upTo, since: page.since })
			entries.push(...page.entries)
		}
		expect(page.upTo).toEqual(this.#log.position)
		expect(page.since).toBeUndefined()
		return { entries, reset: page.reset }
	}
}

it('a log with bounds gives everything or says that it was trimmed, and keeps to its bounds', () => {
	const found = { complete: 0, trimmed: 0, paged: 0 }
	for (let seed = 0; seed < SEEDS; seed++) {
		try {
			const run = new Run(seed)
			for (let step = 0; step < STEPS; step++) run.step()
			run.end()
			found.complete += run.found.complete
			found.trimmed += run.found.trimmed
			found.paged += run.found.paged
		} catch (cause) {
			throw new Error(`With seed ${seed}: ${cause}`, { cause })
		}
	}
	// It saw all of it.
	expect(found).toSatisfy(() => Math.min(...Object.values(found)) > 200)
})

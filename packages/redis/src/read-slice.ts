import type { LogEntry } from '@evstream/core'
import type { LogRead, ReadChannel, ReadFrom } from './read-reply.js'

/** A channel that is to be read up to a point of the log. */
export interface Wanted extends ReadChannel {
	/** What the reader has, if it does not begin to read after that: nothing later may be missing. */
	readonly has?: number | undefined
	/** What was before its first entry does not count as missing. */
	readonly excused?: boolean | undefined
}

/** What is known of a channel. */
interface Line {
	readonly name: string
	readonly ttl: number | undefined
	/** Where it is read next. */
	from: ReadFrom
	/** Where it began; `undefined` until its newest entries are found. */
	start: number | undefined
	/** The number of the last message that is known, or that is not missed. */
	last: number
	/** All entries up to here are known; -1 until its newest entries are found. */
	upTo: number
	/** Entries above the frontier. */
	entries: LogEntry[]
	excused: boolean
	/** Some of its entries are missing. Nothing more is read of it. */
	gap: boolean
}

/** As many channels as one read takes, read step by step up to a point of the log, the bound. */
export class ReadSlice {
	/** All entries of all its channels up to here are known. */
	frontier = -1
	/** Entries up to the frontier that were not taken, in order. */
	ready: LogEntry[] = []
	readonly #lines: readonly Line[]
	#asked: readonly Line[] = []

	constructor(channels: readonly Wanted[]) {
		this.#lines = channels.map(({ name, ttl, from, excused = false, has }) => {
			const start = typeof from === 'number' ? from : has
			return {
				name,
				ttl,
				from,
				start,
				last: start ?? 0,
				upTo: typeof from === 'number' ? from : -1,
				entries: [],
				excused,
				gap: false,
			}
		})
		this.#advance()
	}

	/** What to read next, if the bound is this. */
	next(bound: number | undefined): ReadChannel[] {
		this.#asked = this.#lines.filter(({ upTo }) => bound === undefined || upTo < bound)
		return this.#asked.map(({ name, from, ttl }) => ({ name, from, ttl }))
	}

	/** Takes what was read. */
	add(read: LogRead, bound: number): void {
		for (const [index, line] of this.#asked.entries()) {
			const channel = read.channels[index]
			if (channel?.todo !== undefined) line.from = channel.todo
			else if (channel !== undefined) this.#extend(line, channel, bound)
		}
		this.#asked = []
		this.#advance()
	}

	/** Takes the entries up to a number. */
	take(upTo: number): LogEntry[] {
		const { ready } = this
		let count = ready.length
		while (count > 0 && (ready[count - 1]?.seq ?? 0) > upTo) count--
		const taken = count === ready.length ? ready : ready.slice(0, count)
		this.ready = count === ready.length ? [] : ready.slice(count)
		return taken
	}

	/** The channels of which entries are missing. */
	gaps(): string[] {
		return this.#lines.filter(({ gap }) => gap).map(({ name }) => name)
	}

	/** Where each channel began that was read from its newest entries. */
	starts(): [string, number][] {
		return this.#lines.map(({ name, start = 0 }) => [name, start])
	}

	#extend(line: Line, { start, upTo, link, entries }: LogRead['channels'][number], bound: number): void {
		if (line.start === undefined) {
			line.start = start
			line.last = start
			line.excused = true
		}
		for (const entry of entries) {
			if (entry.prev > line.last && !line.excused) {
				this.#lose(line, bound)
				return
			}
			line.excused = false
			line.last = entry.seq
			line.entries.push(entry)
		}
		line.upTo = Math.max(line.upTo, upTo)
		line.from = line.upTo
		if (link !== undefined && link > line.last && !line.excused) this.#lose(line, bound)
		// Known to the end: nothing lies between its last entry and that.
		else if (link !== undefined) line.last = Math.max(line.last, upTo)
	}

	#lose(line: Line, bound: number): void {
		line.entries = []
		line.gap = true
		line.upTo = bound
	}

	#advance(): void {
		let frontier = Number.POSITIVE_INFINITY
		for (const { upTo } of this.#lines) frontier = Math.min(frontier, upTo)
		this.frontier = frontier
		const from = this.ready.length
		for (const line of this.#lines) {
			let count = 0
			for (const entry of line.entries) {
				if (entry.seq > frontier) break
				this.ready.push(entry)
				count++
			}
			if (count > 0) line.entries = line.entries.slice(count)
		}
		// What was ready lies below the frontier of before, and what is new above it.
		if (from === 0) this.ready.sort(bySeq)
		else this.ready = this.ready.slice(0, from).concat(this.ready.slice(from).sort(bySeq))
	}
}

/** In the order of the log. */
export function bySeq(a: LogEntry, b: LogEntry): number {
	return a.seq - b.seq
}

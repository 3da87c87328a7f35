import { randomUUID } from 'node:crypto'
import type {
	ChannelLog,
	LogEntry,
	LogOptions,
	LogPage,
	LogPosition,
	LogReceiver,
	LogStart,
	ResetReason,
} from './log.js'

/** The most entries one read gives; a reader that is far behind reads on. */
const PAGE = 1_000

interface Kept {
	readonly entry: LogEntry
	readonly time: number
}

/** One channel's newest entries, oldest first from `start`. */
interface Line {
	kept: Kept[]
	start: number
	/** The `seq` of its newest message, kept or not; for a new channel the floor, as it may have been forgotten. */
	last: number
	/** When that came. */
	time: number
	ttl: number
}

/**
 * The log of one process, and the specification of every other {@link ChannelLog}. Synchronous: an appended
 * message has been delivered when `append` returns.
 *
 * Channels that came and went are forgotten once nothing of them is kept. `#floor` is the highest `seq` that was
 * forgotten that way: about an unknown channel, positions from there on are known to have missed nothing.
 */
export class MemoryLog implements ChannelLog {
	readonly #receiver: LogReceiver
	readonly #options: LogOptions
	readonly #clock: () => number
	readonly #epoch = randomUUID().replaceAll('-', '').slice(0, 12)
	/** The first one is the next to be looked at: may it be forgotten? */
	readonly #lines = new Map<string, Line>()
	#seq = 0
	#floor = 0

	constructor(receiver: LogReceiver, options: LogOptions, clock: () => number = Date.now) {
		this.#receiver = receiver
		this.#options = options
		this.#clock = clock
	}

	get position(): LogPosition {
		return { epoch: this.#epoch, seq: this.#seq }
	}

	/** Channels of which something is kept, or that were not forgotten yet. */
	get channels(): number {
		return this.#lines.size
	}

	append(channel: string, payload: string, except?: string): LogPosition {
		const { size, ttl } = this.#options.retention(channel)
		const time = this.#clock()
		const line = this.#lines.get(channel) ?? { kept: [], start: 0, last: this.#floor, time, ttl }
		const seq = ++this.#seq
		const entry: LogEntry = { channel, epoch: this.#epoch, seq, prev: line.last, payload, except }
		line.last = seq
		line.time = time
		line.ttl = ttl
		if (size > 0) {
			line.kept.push({ entry, time })
			trim(line, size, time)
		}
		this.#lines.delete(channel)
		this.#lines.set(channel, line)
		this.#forgetSilent(time)
		this.#receiver.deliver(entry)
		return { epoch: this.#epoch, seq }
	}

	subscribe(): LogPosition {
		return this.position
	}

	unsubscribe(): void {}

	read(channels: readonly string[], start: LogStart): LogPage {
		const time = this.#clock()
		if ('last' in start) {
			const entries = channels.flatMap((channel) => this.#newest(channel, start.last, time))
			entries.sort((a, b) => a.seq - b.seq)
			return { upTo: this.position, entries, more: false }
		}
		const { after } = start
		const reset = this.#unreadable(channels, after, time)
		if (reset !== undefined) return { upTo: this.position, entries: [], more: false, reset }
		const entries = channels.flatMap((channel) => this.#after(channel, after.seq, time))
		entries.sort((a, b) => a.seq - b.seq)
		const last = entries[PAGE - 1]
		if (entries.length <= PAGE || last === undefined) return { upTo: this.position, entries, more: false }
		return { upTo: { epoch: this.#epoch, seq: last.seq }, entries: entries.slice(0, PAGE), more: true }
	}

	direct(): void {}

	close(): void {
		this.#lines.clear()
	}

	#unreadable(channels: readonly string[], after: LogPosition, time: number): ResetReason | undefined {
		if (after.epoch !== this.#epoch) return 'epoch'
		if (after.seq > this.#seq) return 'future'
		for (const channel of channels) {
			const line = this.#lines.get(channel)
			if (line === undefined) {
				if (after.seq < this.#floor) return 'trimmed'
				continue
			}
			const first = this.#after(channel, after.seq, time)[0]
			// The link to what came before the first kept entry shows whether anything between is missing.
			if ((first?.prev ?? line.last) > after.seq) return 'trimmed'
		}
		return undefined
	}

	#after(channel: string, seq: number, time: number): LogEntry[] {
		const line = this.#lines.get(channel)
		if (line === undefined) return []
		trim(line, Number.POSITIVE_INFINITY, time)
		let low = line.start
		let high = line.kept.length
		while (low < high) {
			const middle = (low + high) >> 1
			if ((line.kept[middle]?.entry.seq ?? 0) <= seq) low = middle + 1
			else high = middle
		}
		return line.kept.slice(low, low + PAGE + 1).map(({ entry }) => entry)
	}

	#newest(channel: string, count: number, time: number): LogEntry[] {
		const line = this.#lines.get(channel)
		if (line === undefined || count === 0) return []
		trim(line, Number.POSITIVE_INFINITY, time)
		return line.kept.slice(Math.max(line.start, line.kept.length - count)).map(({ entry }) => entry)
	}

	/** Each append looks at the next two channels in turn, so nothing grows for ever. */
	#forgetSilent(time: number): void {
		let looked = 0
		for (const [channel, line] of this.#lines) {
			if (looked++ === 2 || line.last === this.#seq) return
			this.#lines.delete(channel)
			trim(line, Number.POSITIVE_INFINITY, time)
			// One that keeps nothing is known for as long too: the floor resets who listens to any new channel.
			if (line.start < line.kept.length || line.time > time - line.ttl) this.#lines.set(channel, line)
			else this.#floor = Math.max(this.#floor, line.last)
		}
	}
}

/** Keeps the newest `size` entries that are not too old. */
function trim(line: Line, size: number, time: number): void {
	const { kept, ttl } = line
	let start = Math.max(line.start, kept.length - size)
	while (start < kept.length && (kept[start]?.time ?? 0) <= time - ttl) start++
	// Moved only when half of the array is dead, so that dropping costs a constant amount on average.
	if (start > 32 && start * 2 > kept.length) {
		line.kept = kept.slice(start)
		start = 0
	}
	line.start = start
}

import { randomUUID } from 'node:crypto'
import { KeptEntries, Line } from './kept-entries.js'
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
import { type Cursor, mergePage } from './merge.js'
import { now } from './timers.js'

/**
 * How much longer than its `ttl` a silent channel is known, in ms. Positions younger than that never lie below the
 * floor: a live stream whose channels are silent is given a new one more often.
 */
const GRACE = 120_000

/**
 * The log of one process, and the specification of every other {@link ChannelLog}. Synchronous: an appended
 * message has been delivered when `append` returns. No call holds the event loop for long: a read returns one page,
 * and what has expired is dropped a part at a time.
 *
 * Channels that came and went are forgotten once nothing of them is kept. `#floor` is the highest `seq` that was
 * forgotten that way: a position at or above it has missed nothing on a channel the log does not know.
 */
export class MemoryLog implements ChannelLog {
	readonly #receiver: LogReceiver
	readonly #options: LogOptions
	readonly #clock: () => number
	readonly #epoch = randomUUID().replaceAll('-', '').slice(0, 12)
	readonly #lines = new Map<string, Line>()
	/** The same in no order: they are looked at in turn. */
	readonly #round: Line[] = []
	/** The index of the next one. */
	#next = 0
	readonly #kept: KeptEntries
	#seq = 0
	#floor = 0

	/**
	 * @param clock - The time in ms. It must never go back.
	 */
	constructor(receiver: LogReceiver, options: LogOptions, clock: () => number = now) {
		this.#receiver = receiver
		this.#options = options
		this.#clock = clock
		this.#kept = new KeptEntries(options.maxTotalBytes ?? Number.POSITIVE_INFINITY)
	}

	get position(): LogPosition {
		return { epoch: this.#epoch, seq: this.#seq }
	}

	/** Channels of which something is kept, or that were not forgotten yet. */
	get channels(): number {
		return this.#lines.size
	}

	/** The bytes of the entries that are kept: the UTF-8 bytes of each payload, and 200 more for each entry. */
	get bytes(): number {
		return this.#kept.bytes
	}

	append(channel: string, payload: string, except?: string): LogPosition {
		const entry = this.#options.resumable
			? this.#keep(channel, payload, except)
			: this.#forgetAtOnce(channel, payload, except)
		this.#receiver.deliver(entry)
		return { epoch: this.#epoch, seq: entry.seq }
	}

	/**
	 * Drops what has expired, a part of it. Each `append` does it for two channels: call this now and then so that
	 * expired entries go also while nothing is appended.
	 */
	expire(): void {
		const time = this.#clock()
		let dropped = 0
		for (let looked = 0; looked < 1_000 && dropped < 10_000; looked++) dropped += this.#look(time)
	}

	subscribe(): LogPosition {
		return this.position
	}

	unsubscribe(): void {}

	read(channels: readonly string[], start: LogStart): LogPage {
		return 'last' in start
			? this.#readNewest(channels, start.last)
			: this.#readAfter(channels, start.after, start.since)
	}

	direct(): void {}

	close(): void {
		this.#lines.clear()
		this.#round.length = 0
		this.#kept.clear()
	}

	#keep(channel: string, payload: string, except: string | undefined): LogEntry {
		const time = this.#clock()
		const line = this.#lines.get(channel) ?? this.#add(channel)
		const seq = ++this.#seq
		const entry = { channel: line.channel, epoch: this.#epoch, seq, prev: line.last, payload, except }
		line.last = seq
		line.time = time
		line.retention = this.#options.retention(channel)
		this.#kept.add(line, entry, time)
		// Two others for each message, so that nothing grows for ever.
		this.#look(time)
		this.#look(time)
		return entry
	}

	/** Nobody comes back with a position, so nothing is known of any channel. */
	#forgetAtOnce(channel: string, payload: string, except: string | undefined): LogEntry {
		const prev = this.#seq++
		this.#floor = this.#seq
		return { channel, epoch: this.#epoch, seq: this.#seq, prev, payload, except }
	}

	#readAfter(
		channels: readonly string[],
		after: LogPosition,
		since: ReadonlyMap<string, number> | undefined,
	): LogPage {
		if (after.epoch !== this.#epoch) return this.#reset('epoch')
		if (after.seq > this.#seq) return this.#reset('future')
		const time = this.#clock()
		const cursors: Cursor[] = []
		for (const channel of channels) {
			const from = Math.max(after.seq, since?.get(channel) ?? 0)
			const line = this.#lines.get(channel)
			const cursor = line && cursorAt(line, line.after(from, time))
			// The link to what came before the first kept entry shows whether anything between is missing.
			if ((cursor?.entry.prev ?? line?.last ?? this.#floor) > from) return this.#reset('trimmed')
			if (cursor !== undefined) cursors.push(cursor)
		}
		return this.#page(cursors, since)
	}

	#readNewest(channels: readonly string[], last: number | ReadonlyMap<string, number>): LogPage {
		const time = this.#clock()
		const cursors: Cursor[] = []
		const since = new Map<string, number>()
		for (const channel of channels) {
			const line = this.#lines.get(channel)
			const count = typeof last === 'number' ? last : (last.get(channel) ?? 0)
			const cursor = line && cursorAt(line, Math.max(line.first(time), line.kept.length - count))
			if (cursor !== undefined) cursors.push(cursor)
			since.set(channel, cursor === undefined ? this.#seq : cursor.entry.seq - 1)
		}
		return this.#page(cursors, since)
	}

	#page(cursors: Cursor[], since: ReadonlyMap<string, number> | undefined): LogPage {
		const { entries, more } = mergePage(cursors)
		const last = entries.at(-1)
		if (!more || last === undefined) return { upTo: this.position, entries, more: false }
		return { upTo: { epoch: this.#epoch, seq: last.seq }, entries, more, since }
	}

	#reset(reset: ResetReason): LogPage {
		return { upTo: this.position, entries: [], more: false, reset }
	}

	#add(channel: string): Line {
		const line = new Line(channel, this.#floor)
		this.#lines.set(channel, line)
		this.#round.push(line)
		return line
	}

	/** Looks at the next channel: drops what has expired of it, and forgets it if it has been silent for long. */
	#look(time: number): number {
		if (this.#next >= this.#round.length) this.#next = 0
		const line = this.#round[this.#next]
		if (line === undefined) return 0
		const dropped = this.#kept.trim(line, time)
		// One that keeps nothing is known for as long too: the floor resets who listens to any new channel.
		if (line.kept.length > 0 || line.time > time - line.retention.ttl - GRACE) this.#next++
		else this.#forget(line)
		return dropped
	}

	#forget(line: Line): void {
		const last = this.#round.pop()
		if (last !== undefined && last !== line) this.#round[this.#next] = last
		this.#lines.delete(line.channel)
		this.#floor = Math.max(this.#floor, line.last)
	}
}

/** A cursor on the entry of a channel at an index; `undefined` if there is none. */
function cursorAt({ kept }: Line, index: number): Cursor | undefined {
	const entry = kept.at(index)?.entry
	return entry && { entry, index, kept }
}

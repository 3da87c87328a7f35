import { encodeMessage, Frame, withId } from './frame.js'
import type {
	Awaitable,
	ChannelLog,
	LogEntry,
	LogPage,
	LogPosition,
	LogRetention,
	LogStart,
	ResetReason,
} from './log.js'
import { PageCache } from './page-cache.js'
import { covers, formatPosition } from './position.js'
import type { Timers } from './timers.js'

/** Entries as bytes. */
interface Framed {
	/** All of the entries as one frame; `undefined` if there are none. */
	readonly frame: Frame | undefined
	/** The entries that not everybody may see. A stream that may see all of these may be written the frame. */
	readonly hidden: readonly LogEntry[]
}

/** A page of the log as bytes. */
export interface HistoryPage extends LogPage, Framed {}

/** How far a page must reach. `'now'`: only a read that begins now is good enough. */
export type Least = LogPosition | 'now' | undefined

/** What a {@link HistoryReader} needs of its manager. */
export interface HistoryContext {
	/** How much is kept of a channel. */
	readonly retention: (channel: string) => LogRetention
	/** Whether there may be streams that may not see the entry. */
	readonly isPrivate: (entry: LogEntry) => boolean
	/** The deadlines of the manager. */
	readonly timers: Timers
}

/** The frame of a log entry: its id is its position. */
export function frameOf(entry: LogEntry): Frame {
	return new Frame(withId(entry.payload, formatPosition(entry)))
}

/** One frame of many log entries. */
export function frameOfAll(entries: readonly LogEntry[]): Frame {
	let text = ''
	for (const entry of entries) text += withId(entry.payload, formatPosition(entry))
	return new Frame(text)
}

/** Tells a client where it stands, in an event of its own: some clients learn ids only from events they dispatch. */
export function positionFrame(position: LogPosition): Frame {
	return new Frame(encodeMessage({ event: 'position', id: formatPosition(position), data: '' }))
}

/** Tells a client that it missed something, and where it goes on. */
export function resetFrame(position: LogPosition | undefined, reason: ResetReason): Frame {
	const id = position === undefined ? undefined : formatPosition(position)
	return new Frame(encodeMessage({ event: 'reset', id, data: { reason } }))
}

/**
 * Reads pages of the log and shares them: when ten thousand clients come back at once with the same position, each page
 * is framed once and, if the log is over a network, read once.
 *
 * A log that answers at once is always read again, so that nobody gets what it no longer keeps: only the frame is
 * shared, among pages of the same entries. Of a log that answers later the reads in flight are shared, and a page for
 * a moment after that.
 *
 * A page may be written to a stream only if it reaches as far as this instance has delivered: what comes later the
 * stream gets live.
 */
export class HistoryReader {
	readonly #log: Pick<ChannelLog, 'read'>
	readonly #context: HistoryContext
	/** The log answers at once: pages are not known by their start. */
	#answersAtOnce = false
	/** Reads that the log has not answered yet. */
	readonly #inFlight = new Map<string, Promise<HistoryPage>>()
	/** By channels and start: pages of a log that answers later. By entries: frames of one that answers at once. */
	readonly #cache: PageCache<HistoryPage>

	constructor(log: Pick<ChannelLog, 'read'>, context: HistoryContext) {
		this.#log = log
		this.#context = context
		this.#cache = new PageCache(context.timers)
	}

	/** Bytes of the pages that are remembered. */
	get cachedBytes(): number {
		return this.#cache.bytes
	}

	/** Reads a page that reaches at least `least`, or has `more`. */
	read(channels: readonly string[], start: LogStart, least: Least): Awaitable<HistoryPage> {
		if (this.#answersAtOnce) return this.#read(channels, start)
		const key = keyOf(channels, start)
		const inFlight = this.#inFlight.get(key)
		if (inFlight !== undefined) {
			// It may have looked at the log before `least` was appended; one that began after it did not.
			const again = () => this.#inFlight.get(key) ?? this.#read(channels, start)
			return inFlight.then((page) => (reaches(page, least) ? page : again()), again)
		}
		const cached = this.#cache.get(key)
		return cached !== undefined && reaches(cached, least) ? cached : this.#read(channels, start)
	}

	#read(channels: readonly string[], start: LogStart): Awaitable<HistoryPage> {
		const read = this.#log.read(channels, start)
		this.#answersAtOnce = !(read instanceof Promise)
		if (!(read instanceof Promise)) return this.#withSharedFrame(read)
		const key = keyOf(channels, start)
		const page = read.then(
			(result) => {
				this.#inFlight.delete(key)
				const framed = { ...result, ...this.#frame(result.entries) }
				const ttl = Math.min(...channels.map((channel) => this.#context.retention(channel).ttl))
				this.#cache.set(key, framed, bytesOf(framed), ttl)
				return framed
			},
			(error: unknown) => {
				this.#inFlight.delete(key)
				throw error
			},
		)
		this.#inFlight.set(key, page)
		return page
	}

	#withSharedFrame(page: LogPage): HistoryPage {
		const { entries } = page
		const [first, last] = [entries[0], entries.at(-1)]
		if (first === undefined || last === undefined) return { ...page, frame: undefined, hidden: [] }
		const key = `${formatPosition(first)} ${last.seq} ${entries.length}`
		const cached = this.#cache.get(key)
		// Two sets of channels may have as many entries between the same two.
		if (cached?.entries.every((entry, n) => entry.seq === entries[n]?.seq)) {
			return { ...page, frame: cached.frame, hidden: cached.hidden }
		}
		const framed = { ...page, ...this.#frame(entries) }
		this.#cache.set(key, framed, bytesOf(framed), Number.POSITIVE_INFINITY)
		return framed
	}

	#frame(entries: readonly LogEntry[]): Framed {
		return {
			frame: entries.length === 0 ? undefined : frameOfAll(entries),
			hidden: entries.filter(this.#context.isPrivate),
		}
	}
}

function keyOf(channels: readonly string[], start: LogStart): string {
	return JSON.stringify([start, channels], (_, value: unknown) => (value instanceof Map ? [...value] : value))
}

/** The text of the entries, and the frame. */
function bytesOf({ entries, frame }: HistoryPage): number {
	let bytes = frame?.chunk.length ?? 0
	for (const { payload } of entries) bytes += payload.length
	return bytes
}

function reaches(page: LogPage, least: Least): boolean {
	// A page that stops early is followed by another one.
	if (least === undefined || page.more) return true
	return least !== 'now' && covers(page.upTo, least)
}

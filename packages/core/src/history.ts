import { encodeMessage, Frame, withId } from './frame.js'
import type { Awaitable, ChannelLog, LogEntry, LogPage, LogPosition, LogStart, ResetReason } from './log.js'
import { formatPosition } from './position.js'

/** A page of the log as bytes. */
export interface HistoryPage extends LogPage {
	/** All entries as one frame; `undefined` if there are none, or if they are not the same for everybody. */
	readonly frame: Frame | undefined
}

/** Bytes of pages that are remembered for others who ask for the same. */
const CACHED_BYTES = 16 * 1_048_576
/** How many pages are remembered, whatever their size. */
const CACHED_PAGES = 64

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
 * Reads pages of the log and shares them: when ten thousand clients come back at once with the same position the
 * log is read and framed once.
 *
 * A page may be given to a stream only if it reaches as far as this instance has delivered: what comes later the
 * stream gets live.
 */
export class HistoryReader {
	readonly #log: ChannelLog
	/** Entries that not everybody may see make a page that cannot be shared. */
	readonly #isPrivate: (entry: LogEntry) => boolean
	/** The oldest page first. */
	readonly #cache = new Map<string, Awaitable<HistoryPage>>()
	#bytes = 0

	constructor(log: ChannelLog, isPrivate: (entry: LogEntry) => boolean) {
		this.#log = log
		this.#isPrivate = isPrivate
	}

	/** Reads a page that reaches at least `least`. */
	read(channels: readonly string[], start: LogStart, least: LogPosition | undefined): Awaitable<HistoryPage> {
		const key = JSON.stringify([start, ...channels])
		const cached = this.#cache.get(key)
		if (cached instanceof Promise) {
			return cached.then(
				(page) => (reaches(page, least) ? page : this.#fetch(key, channels, start)),
				() => this.#fetch(key, channels, start),
			)
		}
		if (cached !== undefined && reaches(cached, least)) return cached
		return this.#fetch(key, channels, start)
	}

	#fetch(key: string, channels: readonly string[], start: LogStart): Awaitable<HistoryPage> {
		const read = this.#log.read(channels, start)
		if (!(read instanceof Promise)) return this.#keep(key, this.#framed(read))
		const page: Promise<HistoryPage> = read.then((result) => {
			const framed = this.#framed(result)
			return this.#cache.get(key) === page ? this.#keep(key, framed) : framed
		})
		this.#keep(key, page)
		page.catch(() => {
			if (this.#cache.get(key) === page) this.#drop(key)
		})
		return page
	}

	#framed(page: LogPage): HistoryPage {
		const { entries } = page
		if (entries.length === 0 || entries.some(this.#isPrivate)) return { ...page, frame: undefined }
		return { ...page, frame: frameOfAll(entries) }
	}

	#keep<Page extends Awaitable<HistoryPage>>(key: string, page: Page): Page {
		this.#drop(key)
		this.#cache.set(key, page)
		this.#bytes += bytesOf(page)
		for (const oldest of this.#cache.keys()) {
			if (this.#bytes <= CACHED_BYTES && this.#cache.size <= CACHED_PAGES) break
			this.#drop(oldest)
		}
		return page
	}

	#drop(key: string): void {
		this.#bytes -= bytesOf(this.#cache.get(key))
		this.#cache.delete(key)
	}
}

function bytesOf(page: Awaitable<HistoryPage> | undefined): number {
	return page === undefined || page instanceof Promise ? 0 : (page.frame?.length ?? 0)
}

function reaches(page: LogPage, least: LogPosition | undefined): boolean {
	// A page that stops early is followed by another one.
	return least === undefined || page.more || (page.upTo.epoch === least.epoch && page.upTo.seq >= least.seq)
}

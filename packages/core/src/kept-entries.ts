import { Deque } from './deque.js'
import type { LogEntry, LogRetention } from './log.js'

/** What an entry takes beside its text, in bytes: objects, places in lists, the heads of strings. */
const OVERHEAD = 200
/** The most entries that one look at a channel drops because they are too many or too old. */
const DROPPED = 500

/** An entry that is kept, linked with the ones that were appended before and after it on any channel. */
interface Kept {
	readonly line: Line
	readonly entry: LogEntry
	/** When it was appended. */
	readonly time: number
	readonly bytes: number
	older: Kept | undefined
	newer: Kept | undefined
}

/** A channel of the log. */
export class Line {
	/** Its entries, the oldest first. Some at the beginning may be kept no longer: they have yet to be dropped. */
	readonly kept: Deque<Kept> = new Deque()
	bytes = 0
	/** The `seq` of its newest message, kept or not; for a new channel the floor, as it may have been forgotten. */
	last: number
	/** When that came. */
	time = 0
	/** As it was then. */
	retention: LogRetention = { size: 0, ttl: 0 }

	constructor(
		readonly channel: string,
		floor: number,
	) {
		this.last = floor
	}

	/** The index of the oldest entry that is neither too old nor beyond the size. */
	first(time: number): number {
		const { size, ttl } = this.retention
		const oldest = Math.max(0, this.kept.length - size)
		const isYoung = (kept: Kept): boolean => kept.time > time - ttl
		return this.kept.search(isYoung, oldest)
	}

	/** The index of the first entry after `seq` that is neither too old nor beyond the size. */
	after(seq: number, time: number): number {
		if (this.last <= seq) return this.kept.length
		return this.kept.search(({ entry }) => entry.seq > seq, this.first(time))
	}
}

/**
 * Drops the entries of all channels that are too many, too old or too large. A channel drops its oldest entry first;
 * if all channels together are too large, the oldest of all goes first.
 *
 * Too many or too old ones are dropped a part at a time, as there may be a million of them: {@link Line.first} skips
 * the others. The bounds in bytes hold after each call.
 */
export class KeptEntries {
	readonly #maxBytes: number
	#bytes = 0
	#oldest: Kept | undefined
	#newest: Kept | undefined

	/** @param maxBytes - What all channels may take. */
	constructor(maxBytes: number) {
		this.#maxBytes = maxBytes
	}

	/** The bytes that are kept: of each entry its text as UTF-8, and its overhead. */
	get bytes(): number {
		return this.#bytes
	}

	/** Keeps a new entry of a channel, if its retention lets it, and drops others for it. */
	add(line: Line, entry: LogEntry, time: number): void {
		const { size, maxBytes = Number.POSITIVE_INFINITY } = line.retention
		const bytes = Buffer.byteLength(entry.payload) + (entry.except?.length ?? 0) + OVERHEAD
		if (size === 0 || bytes > this.#maxBytes) {
			// What lies before an entry that is not kept is of no use to anybody.
			while (line.kept.length > 0) this.#drop(line)
			return
		}
		const kept: Kept = { line, entry, time, bytes, older: this.#newest, newer: undefined }
		if (this.#newest !== undefined) this.#newest.newer = kept
		this.#newest = kept
		this.#oldest ??= kept
		line.kept.push(kept)
		line.bytes += bytes
		this.#bytes += bytes
		this.trim(line, time)
		// If it is larger by itself, it goes too.
		while (line.bytes > maxBytes) this.#drop(line)
		// The oldest one of all is the oldest one of its channel too.
		while (this.#oldest !== undefined && this.#bytes > this.#maxBytes) this.#drop(this.#oldest.line)
	}

	/**
	 * Drops a part of what a channel does not keep any more.
	 *
	 * @returns How many entries.
	 */
	trim(line: Line, time: number): number {
		const { ttl, size } = line.retention
		let dropped = 0
		for (; dropped < DROPPED && line.kept.length > 0; dropped++) {
			if (line.kept.length <= size && (line.kept.at(0)?.time ?? 0) > time - ttl) break
			this.#drop(line)
		}
		return dropped
	}

	/** Drops everything. */
	clear(): void {
		this.#oldest = undefined
		this.#newest = undefined
		this.#bytes = 0
	}

	#drop(line: Line): void {
		const kept = line.kept.shift()
		if (kept === undefined) return
		const { older, newer, bytes } = kept
		if (older === undefined) this.#oldest = newer
		else older.newer = newer
		if (newer === undefined) this.#newest = older
		else newer.older = older
		// So that a dropped entry, old for the collector, does not keep younger ones alive.
		kept.older = undefined
		kept.newer = undefined
		line.bytes -= bytes
		this.#bytes -= bytes
	}
}

import type { LogEntry, LogPosition } from '@evstream/core'
import type { LogRead, ReadRequest } from './read-reply.js'
import { bySeq, ReadSlice, type Wanted } from './read-slice.js'

/** How many channels one read takes. */
const CHANNELS = 500
/** The bytes that are held of all slices together, if none of them has to hold less than {@link LEAST}. */
const MOST = 8 * 1_048_576
const LEAST = 16_384

/**
 * Reads channels step by step up to one point of the log, the head as of the first read, and merges them in order.
 * What it costs is known from the start, however much is appended meanwhile.
 *
 * Each step reads the slice of channels of which least is known. Entries above the point up to which all channels are
 * known, the frontier, are held, and not read again.
 */
export class ChannelMerge {
	readonly #slices: ReadSlice[] = []
	#current: ReadSlice | undefined
	#end: LogPosition | undefined

	constructor(channels: readonly Wanted[]) {
		this.include(channels)
	}

	/** Reads these channels too. Only before anything was taken. */
	include(channels: readonly Wanted[]): void {
		for (let at = 0; at < channels.length; at += CHANNELS) {
			this.#slices.push(new ReadSlice(channels.slice(at, at + CHANNELS)))
		}
	}

	/** The point up to which it reads; `undefined` before the first read. */
	get end(): LogPosition | undefined {
		return this.#end
	}

	/** All entries of all channels up to here are known. */
	get frontier(): number {
		let frontier = Number.POSITIVE_INFINITY
		for (const slice of this.#slices) frontier = Math.min(frontier, slice.frontier)
		return frontier
	}

	/** Everything up to the end is known. */
	get isFinished(): boolean {
		return this.#end !== undefined && this.frontier >= this.#end.seq
	}

	/** What to read next. */
	next(): ReadRequest {
		let lowest: ReadSlice | undefined
		for (const slice of this.#slices) {
			if (lowest === undefined || slice.frontier < lowest.frontier) lowest = slice
		}
		this.#current = lowest
		return {
			channels: lowest?.next(this.#end?.seq) ?? [],
			bound: this.#end?.seq,
			maxBytes: Math.max(LEAST, Math.floor(MOST / Math.max(this.#slices.length, 1))),
		}
	}

	/** Takes what was read. `false`: it is of another epoch than what was read before, and this is of no use any more. */
	add(read: LogRead): boolean {
		this.#end ??= read.head
		if (read.head.epoch !== this.#end.epoch) return false
		this.#current?.add(read, this.#end.seq)
		return true
	}

	/** Takes the entries up to the frontier that were not taken, in order. */
	take(): LogEntry[] {
		const { frontier } = this
		const parts = this.#slices.map((slice) => slice.take(frontier)).filter((part) => part.length > 0)
		const [first] = parts
		if (parts.length <= 1) return first ?? []
		return parts.flat().sort(bySeq)
	}

	/** The channels of which entries before the end are missing. */
	gaps(): string[] {
		return this.#slices.flatMap((slice) => slice.gaps())
	}

	/** Where each channel began. */
	starts(): Map<string, number> {
		return new Map(this.#slices.flatMap((slice) => slice.starts()))
	}
}

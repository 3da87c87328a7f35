import type { LogEntry } from '../../src/index.js'

/** What an entry counts for beside its text. */
const OVERHEAD = 200

/** An entry of the model. */
export interface Sent extends LogEntry {
	readonly time: number
	readonly bytes: number
}

/** What is kept of a channel. */
export interface Kept {
	readonly size: number
	readonly ttl: number
	readonly maxBytes: number
}

/** How much of a channel's missed entries a log may, and must, still have. */
export interface Bounds {
	/** It has these: they are neither too many nor too old, nor too large even if nothing expired was dropped. */
	readonly least: number
	/** It has no more than these: the others are too many, too old or too large. */
	readonly most: number
}

/**
 * What a log with bounds keeps, as plain lists. When an expired entry of a silent channel is dropped is up to the log,
 * and until then it takes from `maxTotalBytes`: so the model knows what it keeps at least and at most.
 */
export class LogModel {
	/** Everything that was sent, in order. */
	readonly sent: Sent[] = []
	/** What is kept if no expired entry of a silent channel is ever dropped before it has to be. */
	#least: Sent[] = []
	/** What is kept if all channels together may take everything. */
	#most: Sent[] = []
	readonly #retentions = new Map<string, Kept>()

	constructor(readonly maxTotalBytes: number) {}

	append(entry: LogEntry, time: number, retention: Kept): void {
		const bytes = Buffer.byteLength(entry.payload) + (entry.except?.length ?? 0) + OVERHEAD
		const sent = { ...entry, time, bytes }
		this.sent.push(sent)
		this.#retentions.set(entry.channel, retention)
		this.#least = this.#appended(this.#least, sent, retention)
		this.#most = this.#appended(this.#most, sent, retention)
		while (sum(this.#least) > this.maxTotalBytes) this.#least.shift()
	}

	/** Of a channel everything after `seq`. */
	after(channel: string, seq: number): Sent[] {
		return this.sent.filter((entry) => entry.channel === channel && entry.seq > seq)
	}

	/** How many of the newest entries of a channel are kept. */
	bounds(channel: string, time: number): Bounds {
		const ttl = this.#retentions.get(channel)?.ttl ?? 0
		const count = (list: readonly Sent[]) =>
			list.filter((entry) => entry.channel === channel && entry.time > time - ttl).length
		return { least: count(this.#least), most: count(this.#most) }
	}

	/** A list after an append, without the bound for all channels. */
	#appended(list: readonly Sent[], sent: Sent, { size, ttl, maxBytes }: Kept): Sent[] {
		let own = [...list.filter(({ channel }) => channel === sent.channel), sent]
		if (sent.bytes > maxBytes || sent.bytes > this.maxTotalBytes) own = []
		own = own.filter(({ time }) => time > sent.time - ttl)
		while (own.length > size || sum(own) > maxBytes) own.shift()
		return [...list.filter(({ channel }) => channel !== sent.channel), ...own].sort((a, b) => a.seq - b.seq)
	}
}

function sum(list: readonly Sent[]): number {
	return list.reduce((bytes, entry) => bytes + entry.bytes, 0)
}

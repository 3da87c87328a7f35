import type { LogEntry, LogPage, LogPosition, LogStart } from './log.js'
import type { ReplayCursor } from './replay-cursor.js'

/** The first page of a newcomer that asked for the newest messages of some channels. */
export class NewestMessages {
	/** Channel → how many. */
	readonly #wanted = new Map<string, number>()
	/** What had been delivered here when the newcomer began to listen. It gets what came later, however much. */
	readonly #listenedAt = new Map<string, LogPosition>()
	/** Where channels begin of which it did not ask for older messages. */
	readonly #starts = new Map<string, LogPosition>()

	/** What to read; `undefined` if nothing was asked for, or its first page was written. */
	get start(): LogStart | undefined {
		return this.#wanted.size === 0 ? undefined : { last: this.#wanted }
	}

	want(channel: string, last: number, listenedAt: LogPosition | undefined): void {
		this.#wanted.set(channel, last)
		if (listenedAt !== undefined) this.#listenedAt.set(channel, listenedAt)
	}

	/** Of a channel without `last`, messages after `at` are for the newcomer. */
	startAt(channel: string, at: LogPosition): void {
		this.#starts.set(channel, at)
	}

	leave(channel: string): void {
		this.#wanted.delete(channel)
		this.#listenedAt.delete(channel)
		this.#starts.delete(channel)
	}

	/**
	 * Takes the first page. If it has everything that came since the `listen` (`held`), it is to be written. If not,
	 * because more than the wanted number came meanwhile, the cursor moves to where the next page must begin.
	 *
	 * @returns whether to write the page.
	 */
	accept(page: LogPage, held: readonly LogEntry[] | undefined, cursor: ReplayCursor): boolean {
		const { entries, upTo, more } = page
		for (const [channel, { epoch, seq }] of this.#starts)
			if (epoch === upTo.epoch) cursor.since.set(channel, seq)
		const seqs = new Set(entries.map(({ seq }) => seq))
		const isWhole = held?.every(({ seq }) => seq > upTo.seq || seqs.has(seq)) === true
		if (!isWhole || more) {
			beginAtFirst(entries, cursor)
			for (const [channel, { epoch, seq }] of this.#listenedAt) {
				// Everything of another epoch came after the `listen`.
				const at = epoch === upTo.epoch ? seq : 0
				cursor.since.set(channel, Math.min(cursor.since.get(channel) ?? upTo.seq, at))
			}
		}
		if (!isWhole) cursor.moveTo({ epoch: upTo.epoch, seq: Math.min(upTo.seq, ...cursor.since.values()) })
		this.#end()
		return isWhole
	}

	#end(): void {
		this.#wanted.clear()
		this.#listenedAt.clear()
		this.#starts.clear()
	}
}

/** Each channel begins with its first entry of the page, not at the position. */
export function beginAtFirst(entries: readonly LogEntry[], { since }: ReplayCursor): void {
	for (const { channel, seq } of entries) if (!since.has(channel)) since.set(channel, seq - 1)
}

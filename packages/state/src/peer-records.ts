import { PeerDigest, partOf } from './peer-digest.js'
import type { PeerRecord, Stamp } from './peer-messages.js'

/** How many removals are remembered, and for how long in ms. */
const MOST_TOMBSTONES = 10_000
const TOMBSTONE_AGE = 7 * 86_400_000

/** What an instance knows of each name: who created or removed it last. */
export class PeerRecords {
	readonly #records = new Map<string, PeerRecord>()
	/** Names that were removed, oldest change first. */
	readonly #removed = new Set<string>()
	readonly #digest = new PeerDigest()

	get(name: string): PeerRecord | undefined {
		return this.#records.get(name)
	}

	set(record: PeerRecord): void {
		this.#delete(record.channel)
		this.#records.set(record.channel, record)
		this.#digest.toggle(record)
		if (record.present) return
		this.#removed.add(record.channel)
		this.#forget()
	}

	/** @returns `true` if the record is newer than what is known of its name. */
	isNews(record: PeerRecord): boolean {
		const known = this.#records.get(record.channel)
		return known === undefined || isLater(record, known)
	}

	/** See {@link PeerDigest}. */
	digest(): string {
		return this.#digest.toString()
	}

	/** The parts in which somebody with this digest knows something else. */
	differences(digest: string): Set<number> {
		return this.#digest.differences(digest)
	}

	/** The records of these parts. */
	*of(parts: ReadonlySet<number>): Generator<PeerRecord> {
		for (const record of this.#records.values()) if (parts.has(partOf(record.channel))) yield record
	}

	#forget(): void {
		for (const name of this.#removed) {
			const time = this.#records.get(name)?.time ?? 0
			if (this.#removed.size <= MOST_TOMBSTONES && time > Date.now() - TOMBSTONE_AGE) return
			this.#delete(name)
		}
	}

	#delete(name: string): void {
		const record = this.#records.get(name)
		if (record === undefined) return
		this.#digest.toggle(record)
		this.#records.delete(name)
		this.#removed.delete(name)
	}
}

function isLater(a: Stamp, b: Stamp): boolean {
	return a.time > b.time || (a.time === b.time && a.by > b.by)
}

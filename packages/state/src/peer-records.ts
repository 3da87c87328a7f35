import { type Mark, markOf, PeerDigest } from './peer-digest.js'
import { isLater, type PeerRecord, type Stamp } from './peer-messages.js'
import { Tombstones } from './tombstones.js'

/** How many removals are remembered, and for how long in ms. */
const MOST_TOMBSTONES = 10_000
const TOMBSTONE_AGE = 7 * 86_400_000

interface Entry {
	readonly record: PeerRecord
	readonly mark: Mark
}

/**
 * What an instance knows of each name: who created or removed it last.
 *
 * The oldest removals are forgotten. No removal up to the floor is remembered, and instances tell each other their
 * floors: otherwise one would offer for ever what another has forgotten.
 */
export class PeerRecords {
	readonly #entries = new Map<string, Entry>()
	readonly #tombstones = new Tombstones()
	readonly #digest = new PeerDigest()
	#floor: Stamp | undefined

	/** The stamp of the newest removal that was forgotten. */
	get floor(): Stamp | undefined {
		return this.#floor
	}

	get(name: string): PeerRecord | undefined {
		return this.#entries.get(name)?.record
	}

	/** A removal up to the floor ends what is known of its name, and is not remembered. */
	set(record: PeerRecord): void {
		this.#delete(record.channel)
		if (!record.present && this.#isForgotten(record)) return
		const entry = { record, mark: markOf(record) }
		this.#entries.set(record.channel, entry)
		this.#digest.toggle(entry.mark)
		if (record.present) return
		this.#tombstones.add(record)
		this.#forget()
	}

	/** Another instance has forgotten the removals up to this one. */
	raiseFloor(floor: Stamp): void {
		this.#raise(floor)
		this.#forget()
	}

	/** @returns `true` if the record is newer than what is known of its name. */
	isNews(record: PeerRecord): boolean {
		const known = this.get(record.channel)
		if (known === undefined) return record.present || !this.#isForgotten(record)
		return isLater(record, known)
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
		for (const { record, mark } of this.#entries.values()) if (parts.has(mark.part)) yield record
	}

	#isForgotten(stamp: Stamp): boolean {
		return this.#floor !== undefined && !isLater(stamp, this.#floor)
	}

	#raise(floor: Stamp): void {
		if (!this.#isForgotten(floor)) this.#floor = { time: floor.time, by: floor.by }
	}

	/** Forgets the removals that are too many, too old, or not above the floor. */
	#forget(): void {
		const tooMany = this.#tombstones.size - MOST_TOMBSTONES
		const tooOld = this.#tombstones.count({ time: Date.now() - TOMBSTONE_AGE, by: '' })
		const newest = this.#tombstones.at(Math.max(tooMany, tooOld) - 1)
		if (newest) this.#raise(newest)
		if (this.#floor === undefined) return
		for (const { channel } of this.#tombstones.take(this.#tombstones.count(this.#floor))) this.#drop(channel)
	}

	#delete(name: string): void {
		const record = this.#drop(name)
		if (record?.present === false) this.#tombstones.delete(record)
	}

	#drop(name: string): PeerRecord | undefined {
		const entry = this.#entries.get(name)
		if (entry === undefined) return undefined
		this.#digest.toggle(entry.mark)
		this.#entries.delete(name)
		return entry.record
	}
}

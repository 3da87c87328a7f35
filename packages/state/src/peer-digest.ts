import { createHash } from 'node:crypto'
import type { PeerRecord } from './peer-messages.js'

/** Into how many parts the records are divided, by the hash of their names. */
export const PARTS = 64

/** Bytes of a part's digest. */
const BYTES = 8

/** What a record adds to the digest. It is kept, because taking thousands of records out must not hash them again. */
export interface Mark {
	/** The part that the name belongs to. */
	readonly part: number
	readonly hash: Uint8Array
}

export function markOf({ channel, time, by }: PeerRecord): Mark {
	const [first = 0] = createHash('sha1').update(channel).digest()
	const hash = createHash('sha1')
		.update(JSON.stringify([channel, time, by]))
		.digest()
	return { part: first % PARTS, hash: hash.subarray(0, BYTES) }
}

/**
 * What an instance knows, in a form that two instances can compare: a digest of each part of the records, so that only
 * parts which differ need to be sent. Adding and removing a record takes the same time however many there are.
 */
export class PeerDigest {
	readonly #parts: Buffer = Buffer.alloc(PARTS * BYTES)

	/** Puts a record in, or takes it out: both are the same operation. */
	toggle({ part, hash }: Mark): void {
		const begin = part * BYTES
		for (let at = 0; at < BYTES; at++)
			this.#parts[begin + at] = (this.#parts[begin + at] ?? 0) ^ (hash[at] ?? 0)
	}

	/** All digests, as text. */
	toString(): string {
		return this.#parts.toString('base64')
	}

	/** The parts in which another digest differs: all of them if it has another form. */
	differences(other: string): Set<number> {
		const theirs = Buffer.from(other, 'base64')
		const parts = new Set<number>()
		for (let part = 0; part < PARTS; part++) {
			const [begin, end] = [part * BYTES, (part + 1) * BYTES]
			const same =
				theirs.length === this.#parts.length && this.#parts.compare(theirs, begin, end, begin, end) === 0
			if (!same) parts.add(part)
		}
		return parts
	}
}

import type { LogPosition } from './log.js'
import { formatLate } from './resume-point.js'

/** Channels of which a client has everything only up to a `seq` below its position. */
export class LateChannels {
	readonly #lows = new Map<string, number>()
	/** An id is made for each late message; the hashes in it are computed once. */
	readonly #hashes = new Map<string, string>()

	get size(): number {
		return this.#lows.size
	}

	/** Channel → the `seq` up to which the client has everything of it. */
	get lows(): ReadonlyMap<string, number> {
		return this.#lows
	}

	set(channel: string, seq: number): void {
		this.#lows.set(channel, seq)
	}

	delete(channel: string): void {
		this.#lows.delete(channel)
	}

	clear(): void {
		this.#lows.clear()
	}

	/** The client has everything up to `seq` of each of them. */
	raise(seq: number): void {
		for (const [channel, low] of this.#lows) if (low < seq) this.#lows.set(channel, seq)
	}

	/** The id of a client at `position` that listens to `channels`; `undefined` if it would be too long. */
	idAt(position: LogPosition, channels: Iterable<string>): string | undefined {
		return formatLate(position, this.#lows, channels, this.#hashes)
	}
}

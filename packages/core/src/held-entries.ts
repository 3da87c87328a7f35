import type { LogEntry, LogPosition } from './log.js'

/** The most live entries a stream holds while it replays, and their bytes. Above that it reads the log again. */
const MOST = 1_024
const MOST_BYTES = 262_144

/** Live entries that wait until the pages before them are written. */
export class HeldEntries {
	#entries: LogEntry[] | undefined = []
	#bytes = 0

	/** The entries held since the last {@link take}; `undefined` if some are missing. */
	get entries(): readonly LogEntry[] | undefined {
		return this.#entries
	}

	/** Nothing was held since the last {@link take}, and nothing is missing. */
	get isEmpty(): boolean {
		return this.#entries?.length === 0
	}

	push(entry: LogEntry): void {
		if (this.#entries === undefined) return
		this.#bytes += entry.payload.length
		if (this.#entries.length < MOST && this.#bytes <= MOST_BYTES) this.#entries.push(entry)
		else this.incomplete()
	}

	/** Some entries are missing, so the others are useless until the next {@link take}. */
	incomplete(): void {
		this.#entries = undefined
	}

	/** Removes the entries of a channel. */
	drop(channel: string): void {
		this.#entries = this.#entries?.filter((entry) => entry.channel !== channel)
	}

	/** Starts to hold from the beginning. */
	clear(): void {
		this.#entries = []
		this.#bytes = 0
	}

	/**
	 * Removes and returns all entries held since the last call, in order. `undefined` if some are missing or not of the
	 * epoch of `position`: then the log must be read.
	 */
	take(position: LogPosition): readonly LogEntry[] | undefined {
		const entries = this.#entries
		this.clear()
		return entries?.every(({ epoch }) => epoch === position.epoch) === true ? entries : undefined
	}
}

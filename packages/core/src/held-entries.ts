import type { LogEntry, LogPosition } from './log.js'

/** The most live entries a stream holds back while it catches up, and their bytes; over that it reads the log again. */
const MOST = 1_024
const MOST_BYTES = 262_144

/** Live entries that wait until the pages before them are written. */
export class HeldEntries {
	#entries: LogEntry[] | undefined = []
	#bytes = 0

	/** What is held; `undefined` if some are missing. */
	get entries(): readonly LogEntry[] | undefined {
		return this.#entries
	}

	push(entry: LogEntry): void {
		if (this.#entries === undefined) return
		this.#bytes += entry.payload.length
		if (this.#entries.length < MOST && this.#bytes <= MOST_BYTES) this.#entries.push(entry)
		else this.incomplete()
	}

	/** Some are missing: what is held is of no use. */
	incomplete(): void {
		this.#entries = undefined
	}

	/** Forgets those of a channel. */
	drop(channel: string): void {
		this.#entries = this.#entries?.filter((entry) => entry.channel !== channel)
	}

	/** All since the last time, in order; `undefined` if some are missing or not of the epoch of `position`. */
	take(position: LogPosition | undefined): readonly LogEntry[] | undefined {
		const entries = this.#entries
		this.#entries = []
		this.#bytes = 0
		return entries?.every(({ epoch }) => epoch === position?.epoch) === true ? entries : undefined
	}
}

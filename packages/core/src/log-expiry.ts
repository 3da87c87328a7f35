import type { MemoryLog } from './memory-log.js'
import { now, type Timed, type Timers } from './timers.js'

/** How often the in-memory log looks for what has expired, in ms. */
const INTERVAL = 5_000

/** Drops what expires in memory also while nothing is sent. While the log is empty, no timer runs. */
export class LogExpiry implements Timed {
	due = 0
	slot = -1
	readonly #log: MemoryLog
	readonly #timers: Timers

	constructor(log: MemoryLog, timers: Timers) {
		this.#log = log
		this.#timers = timers
	}

	/** Something is kept. */
	start(): void {
		if (this.slot < 0) this.#timers.add(this, now() + INTERVAL)
	}

	stop(): void {
		this.#timers.remove(this)
	}

	onDue(time: number): number | undefined {
		this.#log.expire()
		return this.#log.channels > 0 ? time + INTERVAL : undefined
	}
}

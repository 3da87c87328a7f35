import { Outage } from './outage.js'
import { refusesWrites } from './refusal.js'

/** The longest time between two looks, in ms. */
const LOOK_MS = 1000

/**
 * Whether Redis refuses all writes: its memory is full, it is a replica, it cannot save, it has too few replicas.
 * Commands are opaque to the bus, and reads go on meanwhile, so it asks by a write of its own that changes nothing.
 */
export class WriteCheck {
	readonly #write: () => Promise<unknown>
	readonly #interval: number
	readonly #outage: Outage
	#isRefused = false
	#timer: NodeJS.Timeout | undefined
	#closed = false

	/**
	 * @param write Sends a write that changes nothing.
	 * @param intervalMs How long to wait between two of them; at most a second.
	 * @param report Told once per outage for each distinct refusal.
	 */
	constructor(write: () => Promise<unknown>, intervalMs: number, report: (error: unknown) => void) {
		this.#write = write
		this.#interval = Math.min(intervalMs, LOOK_MS)
		this.#outage = new Outage(report)
	}

	/** `true` from a refused write until one is taken. */
	get isRefused(): boolean {
		return this.#isRefused
	}

	/** A command was answered by this error, which says that no write is taken. */
	readonly refused = (error: Error): void => {
		if (this.#closed) return
		this.#outage.report(error)
		if (this.#isRefused) return
		this.#isRefused = true
		this.#lookLater()
	}

	close(): void {
		this.#closed = true
		clearTimeout(this.#timer)
	}

	#lookLater(): void {
		this.#timer = setTimeout(() => void this.#look(), this.#interval).unref()
	}

	async #look(): Promise<void> {
		try {
			await this.#write()
			this.#over()
		} catch (error) {
			if (this.#closed) return
			const isAnswer = error instanceof Error && error.name === 'ReplyError'
			// Another answer, such as NOPERM, says nothing of other writes: the next one that is refused will.
			if (isAnswer && !refusesWrites(error)) this.#over()
			else this.#lookLater()
		}
	}

	#over(): void {
		this.#isRefused = false
		this.#outage.over()
	}
}

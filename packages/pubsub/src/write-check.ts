import { outsideContext } from './context.js'
import { refusalCode } from './refusal.js'

/** The longest time between two looks, in ms. */
const LOOK_MS = 1000

/**
 * Whether Redis refuses all writes: its memory is full, it is a replica, it cannot save, it has too few replicas.
 * Commands are opaque to the bus, and reads go on meanwhile, so it asks by a write of its own that changes nothing.
 */
export class WriteCheck {
	readonly #write: () => Promise<unknown>
	readonly #interval: number
	readonly #report: (error: unknown) => void
	/** The codes that this outage has reported: the text differs from command to command. */
	readonly #reported = new Set<string>()
	#isRefused = false
	#timer: NodeJS.Timeout | undefined
	#closed = false

	/**
	 * @param write Sends a write that changes nothing.
	 * @param intervalMs How long to wait between two of them; at most a second.
	 * @param report Told once per outage for each kind of refusal.
	 */
	constructor(write: () => Promise<unknown>, intervalMs: number, report: (error: unknown) => void) {
		this.#write = write
		this.#interval = Math.min(intervalMs, LOOK_MS)
		this.#report = report
	}

	/** `true` from a refused write until one is taken. */
	get isRefused(): boolean {
		return this.#isRefused
	}

	/** A command failed with this error. */
	readonly failed = (error: unknown): void => {
		const code = refusalCode(error)
		if (code === undefined || this.#closed) return
		if (!this.#reported.has(code)) {
			this.#reported.add(code)
			this.#report(error)
		}
		if (this.#isRefused) return
		this.#isRefused = true
		this.#lookLater()
	}

	close(): void {
		this.#closed = true
		clearTimeout(this.#timer)
	}

	#lookLater(): void {
		this.#timer = outsideContext(() => setTimeout(() => void this.#look(), this.#interval).unref())
	}

	async #look(): Promise<void> {
		try {
			await this.#write()
			this.#over()
		} catch (error) {
			if (this.#closed) return
			const isAnswer = error instanceof Error && error.name === 'ReplyError'
			// Another answer, such as NOPERM, says nothing of other writes: the next one that is refused will.
			if (isAnswer && refusalCode(error) === undefined) this.#over()
			else this.#lookLater()
		}
	}

	#over(): void {
		this.#isRefused = false
		this.#reported.clear()
	}
}

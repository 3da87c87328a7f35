import type { LogPosition } from '@evstream/core'
import type { Inbox } from './inbox.js'
import type { ReadLog } from './read-reply.js'

/** How often what was delivered is compared with the log, in ms. */
const INTERVAL = 60_000
/** How many channels one read compares. */
const CHANNELS = 500

/** What a {@link Verification} needs of its log. */
export interface VerifiedLog {
	readonly read: ReadLog
	failed(error: unknown): void
}

/**
 * Compares once a minute what was delivered with the log. A message that was published but never arrived is found, also
 * if it was the last one of its channel. And a channel that is silent moves up with the head: so the log never forgets
 * what this instance needs, and no client has a position that is old.
 */
export class Verification {
	readonly #inbox: Inbox
	readonly #log: VerifiedLog
	#timer: NodeJS.Timeout | undefined
	#running: Promise<void> | undefined
	/** The lowest position in use before the last comparison. */
	#before: number | undefined
	#closed = false

	constructor(inbox: Inbox, log: VerifiedLog) {
		this.#inbox = inbox
		this.#log = log
	}

	/** Begins to compare, the first time within a minute. Idempotent. */
	start(): void {
		// Instances that were started together do not read together.
		if (this.#timer === undefined) this.#arm(INTERVAL * (0.5 + Math.random() / 2))
	}

	/**
	 * The lowest position in use, as before the last comparison: clients were told of positions of that time. `undefined` if
	 * there is none.
	 */
	get lowest(): number | undefined {
		const { lowest } = this.#inbox
		return lowest === undefined ? undefined : Math.min(lowest, this.#before ?? lowest)
	}

	/** Compares now. */
	run(): Promise<void> {
		this.#running ??= this.#verify().finally(() => {
			this.#running = undefined
		})
		return this.#running
	}

	close(): void {
		this.#closed = true
		clearTimeout(this.#timer)
	}

	#arm(ms: number): void {
		if (this.#closed) return
		this.#timer = setTimeout(() => {
			this.run()
				.catch((error: unknown) => {
					if (!this.#closed) this.#log.failed(error)
				})
				.finally(() => this.#arm(INTERVAL))
		}, ms).unref()
	}

	async #verify(): Promise<void> {
		this.#before = this.#inbox.lowest
		const names = this.#inbox.open
		let head: LogPosition | undefined
		for (let at = 0; at < names.length && !this.#closed; at += CHANNELS) {
			const part = names.slice(at, at + CHANNELS)
			const read = await this.#log.read({ channels: part.map((name) => ({ name, from: { last: 0 } })) })
			this.#inbox.check(part, read)
			head ??= read.head
		}
		if (head !== undefined) this.#inbox.caughtUp(head)
	}
}

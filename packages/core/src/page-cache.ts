import { Deadline, now, type Timers } from './timers.js'

/** The bytes of the pages that are remembered. One page that is larger is remembered alone. */
const MAX_BYTES = 16 * 1_048_576
/** How many pages are remembered. */
const MAX_PAGES = 64
/** How long a page is remembered at most, in ms. */
const MAX_AGE = 1_000

interface Cached<Page> {
	readonly page: Page
	readonly bytes: number
	readonly until: number
}

/** Pages that others may ask for in a moment. Bounded by bytes, pages and age; it is empty when nobody asks. */
export class PageCache<Page> {
	readonly #timers: Timers
	/** The oldest page first. */
	readonly #pages = new Map<string, Cached<Page>>()
	#bytes = 0
	readonly #expiry = new Deadline(() => {
		this.#pages.clear()
		this.#bytes = 0
		return undefined
	})

	constructor(timers: Timers) {
		this.#timers = timers
	}

	/** The bytes of all pages. */
	get bytes(): number {
		return this.#bytes
	}

	/** The number of pages. */
	get size(): number {
		return this.#pages.size
	}

	/** The page that was set under this key, if it is still remembered. */
	get(key: string): Page | undefined {
		const cached = this.#pages.get(key)
		return cached === undefined || cached.until <= now() ? undefined : cached.page
	}

	/**
	 * Remembers a page in place of an earlier one.
	 *
	 * @param bytes - What it takes.
	 * @param maxAge - How long it may be used, in ms.
	 */
	set(key: string, page: Page, bytes: number, maxAge: number): void {
		const time = now()
		this.#drop(key)
		this.#pages.set(key, { page, bytes, until: time + Math.min(maxAge, MAX_AGE) })
		this.#bytes += bytes
		for (const oldest of this.#pages.keys()) {
			if (this.#pages.size === 1 || (this.#bytes <= MAX_BYTES && this.#pages.size <= MAX_PAGES)) break
			this.#drop(oldest)
		}
		// One deadline for all pages: the younger ones may go early.
		if (this.#expiry.slot < 0) this.#timers.add(this.#expiry, time + MAX_AGE)
	}

	#drop(key: string): void {
		this.#bytes -= this.#pages.get(key)?.bytes ?? 0
		this.#pages.delete(key)
	}
}

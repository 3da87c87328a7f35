import { withId } from './frame.js'
import type { HeldEntries } from './held-entries.js'
import type { HistoryPage } from './history.js'
import type { Awaitable, LogPosition } from './log.js'
import { beginAtFirst, type NewestMessages } from './newest-messages.js'
import { NOTHING, type ReplayContext, type Step, withPage } from './replay-context.js'
import type { ReplayCursor } from './replay-cursor.js'
import type { ReplayOutput } from './replay-output.js'

/** Reads what the client of a replay has missed, and writes it page by page. */
export class ReplayPages {
	readonly #context: ReplayContext
	readonly #cursor: ReplayCursor
	readonly #newest: NewestMessages
	readonly #held: HeldEntries
	readonly #output: ReplayOutput

	constructor(
		context: ReplayContext,
		cursor: ReplayCursor,
		newest: NewestMessages,
		held: HeldEntries,
		output: ReplayOutput,
	) {
		this.#context = context
		this.#cursor = cursor
		this.#newest = newest
		this.#held = held
		this.#output = output
	}

	/** The next page: first of late channels, then of all. `undefined` if everything else is held. */
	next(): Awaitable<Step> | undefined {
		if (this.#cursor.late.size > 0) return this.#readLate()
		return this.#cursor.complete ? undefined : this.#readPage()
	}

	/** What late channels have up to the position that the client has of the others. */
	#readLate(): Awaitable<Step> {
		const { late, position: at } = this.#cursor
		if (at === undefined) return NOTHING
		const after = { epoch: at.epoch, seq: Math.min(...late.lows.values()) }
		const since = new Map(late.lows)
		return withPage(this.#context.history.read([...since.keys()], { after, since }, at), (page) => {
			if (page.reset === undefined) this.#writeLate(page, at)
			// The log lost its data: the page that is read next says so for all channels.
			else if (page.reset === 'epoch' || page.reset === 'future') this.#loseAll()
			else this.#output.resetLate(page.reset)
		})
	}

	#writeLate({ entries, upTo, more }: HistoryPage, at: LogPosition): void {
		const { late, channels } = this.#cursor
		let text = ''
		for (const entry of entries) {
			if (entry.seq > at.seq) break
			late.raise(entry.seq)
			const id = late.idAt(at, channels.keys())
			if (id === undefined) {
				this.#output.writeText(text)
				this.#output.resetLate('trimmed')
				return
			}
			if (this.#output.wants(entry)) text += withId(entry.payload, id)
		}
		this.#output.writeText(text)
		if (!more || upTo.seq >= at.seq) late.clear()
		else late.raise(upTo.seq)
	}

	#loseAll(): void {
		this.#cursor.late.clear()
		this.#cursor.complete = false
	}

	/** A page of all channels. */
	#readPage(): Awaitable<Step> {
		const { position: after, since, channels } = this.#cursor
		const start = this.#newest.start ?? (after === undefined ? { last: 0 } : { after, since })
		const least = this.#cursor.least(this.#context.delivered)
		return withPage(this.#context.history.read([...channels.keys()], start, least), (page) => {
			if (page.reset !== undefined) this.#output.resetAt(page.upTo, page.reset)
			else this.#writePage(page)
		})
	}

	#writePage(page: HistoryPage): void {
		const cursor = this.#cursor
		const { entries, upTo, more } = page
		for (const [channel, seq] of page.since ?? []) cursor.since.set(channel, seq)
		const isFirst = this.#newest.start !== undefined
		if (isFirst && !this.#newest.accept(page, this.#held.entries, cursor)) return
		const done = this.#output.writePage(page)
		const last = entries[done - 1]
		if (done < entries.length && last !== undefined) {
			// The next page begins behind what was written.
			if (isFirst) beginAtFirst(entries, cursor)
			cursor.moveTo(last)
		} else {
			cursor.moveTo(upTo)
			cursor.complete = !more
		}
	}
}

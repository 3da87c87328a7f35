import type { LogEntry, LogPosition, LogReceiver } from '@evstream/core'
import { isComplete, type LogRead, merge, type ReadFrom, type ReadLog } from './log-reader.js'

/** Where the instance stands on a channel: the last `seq` it delivered, or the highest it saw while it was opening. */
interface Tracked {
	open: boolean
	last: number
	/** The subscriber was lost while it was opening: what was dropped may lie after where the log stood. */
	unsure: boolean
}

/** The most entries that wait while a repair reads; over that they are read from the log too. */
const QUEUE = 10_000
/** How many entries of a channel a repair reads at once. */
const PAGE = 1_000
/** How many channels a repair reads at once. */
const CHANNELS = 500
/** How long a failed repair waits before it tries again, in ms. */
const RETRY = 250

/** What an inbox has counted. */
export interface InboxCounters {
	received: number
	repairedHoles: number
	resets: number
}

/**
 * The one ordered inbox of an instance. It decides by position: the next entry is delivered, one that was seen is
 * dropped, and a hole pauses everything until it has been filled from the log. What cannot be filled is a reset.
 *
 * On one subscriber connection entries arrive in order of `seq`, so a hole on a channel means that it was lost, not
 * that it is late.
 */
export class Inbox {
	readonly counters: InboxCounters = { received: 0, repairedHoles: 0, resets: 0 }
	readonly #receiver: LogReceiver
	readonly #readLog: ReadLog
	readonly #channels = new Map<string, Tracked>()
	#epoch: string | undefined
	/** Entries that wait while `#paused`. */
	#queue: LogEntry[] = []
	#paused: 'lost' | 'repairing' | undefined
	/** Something was dropped, or a channel opened, that the repair that is running may have read too early for. */
	#behind = false
	/** The repair that is running: a newer one makes it stop. */
	#running: object | undefined
	#retry: NodeJS.Timeout | undefined
	#closed = false

	constructor(receiver: LogReceiver, readLog: ReadLog) {
		this.#receiver = receiver
		this.#readLog = readLog
	}

	/** The channel is being subscribed: its entries may arrive from now on. */
	opening(channel: string): void {
		this.#channels.set(channel, { open: false, last: 0, unsure: this.#paused === 'lost' })
	}

	/** The channel is subscribed, and the log stood at `head` after that. Gives the position from which on it is certain. */
	opened(channel: string, head: LogPosition): LogPosition {
		const tracked = this.#channels.get(channel)
		if (tracked === undefined) return head
		// What arrived before the answer was dropped: who listens begins after it.
		tracked.last =
			this.#epoch === undefined || this.#epoch === head.epoch ? Math.max(tracked.last, head.seq) : head.seq
		tracked.open = true
		if (this.#paused !== undefined) this.#behind = true
		if (this.#epoch === undefined || !this.#standsOnOthers(tracked)) this.#epoch = head.epoch
		else if (this.#epoch !== head.epoch) tracked.unsure = true
		if (tracked.unsure && this.#paused === undefined) this.#repair()
		return { epoch: head.epoch, seq: tracked.last }
	}

	/** There is another channel whose entries must follow those of the known epoch. */
	#standsOnOthers(tracked: Tracked): boolean {
		for (const other of this.#channels.values()) if (other.open && other !== tracked) return true
		return false
	}

	/** The channel is not subscribed any more. */
	forget(channel: string): void {
		this.#channels.delete(channel)
	}

	/** The lowest position that an open channel stands at; `undefined` if there is none. */
	lowest(): number | undefined {
		let lowest: number | undefined
		for (const { open, last } of this.#channels.values()) {
			if (open) lowest = Math.min(lowest ?? last, last)
		}
		return lowest
	}

	/** Takes what arrived. */
	receive(entries: readonly LogEntry[]): void {
		this.counters.received += entries.length
		if (this.#paused === 'lost') return
		for (const entry of entries) {
			if (this.#paused === undefined) this.#take(entry)
			else if (this.#queue.length < QUEUE) this.#queue.push(entry)
			else this.#behind = true
		}
	}

	/** The subscriber was lost: from here on there are holes. */
	lost(): void {
		this.#paused = 'lost'
		// A repair that ends now must not let in what comes before all channels are back.
		this.#running = undefined
		this.#queue = []
		clearTimeout(this.#retry)
		for (const tracked of this.#channels.values()) if (!tracked.open) tracked.unsure = true
	}

	/** All channels are subscribed again. */
	restored(): void {
		this.#repair()
	}

	close(): void {
		this.#closed = true
		this.#channels.clear()
		this.#queue = []
		clearTimeout(this.#retry)
	}

	#take(entry: LogEntry): void {
		const tracked = this.#channels.get(entry.channel)
		if (tracked === undefined) return
		if (!tracked.open) {
			tracked.last = Math.max(tracked.last, entry.seq)
			return
		}
		if (entry.epoch === this.#epoch) {
			if (entry.seq <= tracked.last) return
			if (entry.prev <= tracked.last) {
				tracked.last = entry.seq
				this.#receiver.deliver(entry)
				return
			}
			this.counters.repairedHoles++
		}
		// A hole, or another epoch, of which only the log knows how it follows.
		this.#queue.push(entry)
		this.#repair()
	}

	#repair(): void {
		this.#paused = 'repairing'
		clearTimeout(this.#retry)
		const run = {}
		this.#running = run
		this.#fill(run).then(
			(finished) => {
				if (!finished || this.#running !== run) return
				this.#paused = undefined
				this.#drain()
			},
			(error: unknown) => {
				if (this.#running !== run || this.#closed) return
				this.#receiver.error(error)
				this.#retry = setTimeout(() => this.#repair(), RETRY).unref()
			},
		)
	}

	/** Takes what waited; an entry with a hole before it starts the next repair, and the rest waits again. */
	#drain(): void {
		const queue = this.#queue
		this.#queue = []
		for (const entry of queue) {
			if (this.#paused === undefined) this.#take(entry)
			else this.#queue.push(entry)
		}
	}

	/** Delivers what the log has after what was delivered, on every channel, merged. `false`: it was overtaken. */
	async #fill(run: object): Promise<boolean> {
		let more = true
		while (more || this.#behind) {
			this.#behind = false
			const names = [...this.#channels].filter(([, { open }]) => open).map(([name]) => name)
			if (names.length === 0) break
			const waiting = this.#queue.length
			const reads = await this.#read(names)
			if (this.#running !== run || this.#closed) return false
			const other = reads.find(({ log }) => log.head.epoch !== this.#epoch)
			more = true
			if (other === undefined) more = this.#deliver(reads)
			else this.#enter(other.log)
			if (!more) this.#forgetOver(waiting)
		}
		return true
	}

	/** Of the first entries that wait, those of another epoch: the log was read after they came, so theirs is over. */
	#forgetOver(count: number): void {
		this.#queue = this.#queue.filter(({ epoch }, index) => index >= count || epoch === this.#epoch)
	}

	async #read(names: readonly string[]): Promise<{ names: readonly string[]; log: LogRead }[]> {
		const reads: { names: readonly string[]; log: LogRead }[] = []
		for (let at = 0; at < names.length; at += CHANNELS) {
			const part = names.slice(at, at + CHANNELS)
			const from = part.map((name): { name: string; from: ReadFrom } => ({
				name,
				from: this.#channels.get(name)?.last ?? { last: 0 },
			}))
			reads.push({ names: part, log: await this.#readLog(from, PAGE) })
		}
		return reads
	}

	/** Another epoch has begun: the server was restarted or replaced. */
	#enter(log: LogRead): void {
		const cut = this.#epoch === undefined ? undefined : log.cuts.get(this.#epoch)
		this.#epoch = log.head.epoch
		for (const [name, tracked] of this.#channels) {
			if (!tracked.open) continue
			if (cut !== undefined) {
				// The server knows this instance's epoch up to the cut: what follows there follows here.
				tracked.last = Math.min(tracked.last, cut)
			} else {
				// Nobody can say whether something was lost with the old data.
				tracked.last = log.floor
				this.#reset(name, { epoch: log.head.epoch, seq: log.floor }, 'epoch')
			}
		}
	}

	/** Delivers what was read. `true`: there is more to read. */
	#deliver(reads: readonly { names: readonly string[]; log: LogRead }[]): boolean {
		for (const { names, log } of reads) {
			for (const [index, name] of names.entries()) {
				const tracked = this.#channels.get(name)
				const channel = log.channels[index]
				if (tracked === undefined || channel === undefined) continue
				if (isComplete(channel, tracked.last, log.floor)) continue
				tracked.last = log.head.seq
				this.#reset(name, log.head, 'gap')
			}
		}
		// Positions cover all channels, so none may be ahead. What later reads saw after `upTo` waits in the queue too.
		const merged = reads.map(({ log }) => merge(log))
		const upTo = Math.min(...merged.map((part) => part.upTo.seq))
		const entries = merged.flatMap((part) => part.entries.filter(({ seq }) => seq <= upTo))
		if (reads.length > 1) entries.sort((a, b) => a.seq - b.seq)
		for (const entry of entries) {
			const tracked = this.#channels.get(entry.channel)
			if (tracked === undefined || !tracked.open || entry.seq <= tracked.last) continue
			tracked.last = entry.seq
			this.#receiver.deliver(entry)
		}
		return merged.some(({ more }) => more)
	}

	#reset(channel: string, position: LogPosition, reason: 'gap' | 'epoch'): void {
		this.counters.resets++
		this.#receiver.reset(channel, position, reason)
	}
}

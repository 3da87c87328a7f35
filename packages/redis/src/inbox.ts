import { setImmediate as nextTurn } from 'node:timers/promises'
import type { LogEntry, LogPosition, LogReceiver } from '@evstream/core'
import { ChannelMerge } from './channel-merge.js'
import { LiveQueue } from './live-queue.js'
import type { LogRead, ReadLog } from './read-reply.js'
import type { Wanted } from './read-slice.js'

/** Where the instance stands on a channel. */
interface Tracked {
	open: boolean
	/** All its messages up to here were delivered; while it is opening, the highest `seq` that it saw. */
	last: number
	/** The subscriber was lost while it was opening: what was dropped may lie after where the log stood. */
	unsure: boolean
	/** Its listeners were told of a new epoch and got nothing since: what is missing at its beginning they know of. */
	excused: boolean
	/** The log had a message with this number, or a later one, that had not arrived at the last check. */
	owed: number | undefined
}

/** Reads what was missed, up to the head of the log as of its first read. */
interface Round {
	readonly merge: ChannelMerge
	readonly members: Map<string, Tracked>
	/** How many live entries waited when it first read the log: those it has read too. */
	waiting: number
}

/** How long a failed read waits before it is tried again, in ms. */
const RETRY = 250
/** How long queued entries are delivered before others get a turn, in ms. */
const SLICE = 8

/** What an inbox has counted. */
export interface InboxCounters {
	received: number
	repairedHoles: number
	resets: number
}

/** What an {@link Inbox} needs of its log. */
export interface InboxSource {
	readonly read: ReadLog
	/** How old entries of a channel may be that a repair delivers, in ms; `undefined` for any. */
	ttl(channel: string): number | undefined
	/** A read failed, and will be tried again. */
	failed(error: unknown): void
}

/**
 * The one ordered inbox of an instance. It decides by position: the next entry is delivered, one that was seen is
 * dropped, and a hole pauses everything until it has been filled from the log. What cannot be filled is a reset.
 *
 * On one subscriber connection entries arrive in order of `seq`, so a hole on a channel means that it was lost, not
 * that it is late.
 *
 * A repair goes in rounds. Live entries wait in a queue from before the first read of a round. So the round ends where
 * the log stood at that read, whatever is appended meanwhile: the queue has what comes later. Only if the queue
 * overflows there is another round.
 */
export class Inbox {
	readonly counters: InboxCounters = { received: 0, repairedHoles: 0, resets: 0 }
	readonly #receiver: LogReceiver
	readonly #source: InboxSource
	readonly #channels = new Map<string, Tracked>()
	#epoch: string | undefined
	/** No entry of this epoch up to here is delivered any more. */
	#reached = 0
	readonly #queue = new LiveQueue()
	#paused: 'lost' | 'repairing' | undefined
	/** A channel was opened that has a hole: another round must follow. */
	#behind = false
	/** The round that is running: a newer one makes it stop. */
	#round: Round | undefined
	#retry: NodeJS.Timeout | undefined
	#closed = false

	constructor(receiver: LogReceiver, source: InboxSource) {
		this.#receiver = receiver
		this.#source = source
	}

	/** The open channels. */
	get open(): string[] {
		return [...this.#opened()].map(([name]) => name)
	}

	/** All messages up to here were delivered on all open channels; `undefined` if there are none. */
	get lowest(): number | undefined {
		let lowest: number | undefined
		for (const [, { last }] of this.#opened()) lowest = Math.min(lowest ?? last, last)
		return lowest
	}

	/** Some channel is open. */
	get isUsed(): boolean {
		return this.#opened().next().done !== true
	}

	/** The channel is being subscribed: its entries may arrive from now on. */
	opening(channel: string): void {
		const unsure = this.#paused === 'lost'
		this.#channels.set(channel, { open: false, last: 0, unsure, excused: false, owed: undefined })
	}

	/**
	 * The channel is subscribed, and the log stood at `head` after that. Returns the position from which on it is certain.
	 */
	opened(channel: string, head: LogPosition): LogPosition {
		const tracked = this.#channels.get(channel)
		if (tracked === undefined) return head
		if (this.#epoch === undefined || !this.#standsOnOthers(tracked)) this.#enterAt(head)
		if (this.#epoch === head.epoch) {
			// What arrived before the answer was dropped, and what others have passed must not follow: the channel begins
			// after it.
			const end = this.#round?.merge.end?.seq ?? 0
			tracked.last = Math.max(tracked.last, head.seq, this.#reached, end)
		} else {
			tracked.last = head.seq
			tracked.unsure = true
		}
		tracked.open = true
		if (tracked.unsure && this.#paused === undefined) this.#repair()
		else if (tracked.unsure) this.#behind = true
		return { epoch: head.epoch, seq: tracked.last }
	}

	/** The channel is not subscribed any more. */
	forget(channel: string): void {
		this.#channels.delete(channel)
	}

	/** Takes what arrived. */
	receive(entries: readonly LogEntry[]): void {
		this.counters.received += entries.length
		for (const entry of entries) {
			if (this.#paused === 'lost') return
			if (this.#paused === undefined && this.#take(entry)) continue
			this.#queue.push(entry)
			if (this.#paused === undefined) this.#repair()
		}
	}

	/** The subscriber was lost: from here on there are holes. */
	lost(): void {
		this.#paused = 'lost'
		// A round that ends now must not let in what comes before all channels are back.
		this.#round = undefined
		this.#queue.clear()
		clearTimeout(this.#retry)
		for (const tracked of this.#channels.values()) if (!tracked.open) tracked.unsure = true
	}

	/** All channels are subscribed again. */
	restored(): void {
		this.#repair()
	}

	/**
	 * Compares where the log stands with what was delivered. A channel of which nothing is missing moves up to the head.
	 * What is missing may be on its way; if it still is at the next check, it is read.
	 */
	check(names: readonly string[], read: LogRead): void {
		if (this.#paused !== undefined || this.#closed) return
		if (read.head.epoch !== this.#epoch) {
			if (this.lowest !== undefined) this.#repair()
			return
		}
		let missing = false
		for (const [index, name] of names.entries()) {
			const tracked = this.#channels.get(name)
			const link = read.channels[index]?.link
			if (tracked?.open !== true || link === undefined) continue
			if (link > tracked.last) {
				missing ||= tracked.owed !== undefined && tracked.last < tracked.owed
				tracked.owed = link
			} else {
				tracked.last = Math.max(tracked.last, read.head.seq)
				tracked.owed = undefined
			}
		}
		if (missing) this.#repair()
	}

	/** Tells the receiver if everything up to a position was delivered. */
	caughtUp(position: LogPosition): void {
		if (this.#paused !== undefined || this.#closed || position.epoch !== this.#epoch) return
		if ((this.lowest ?? -1) < position.seq) return
		this.#reached = Math.max(this.#reached, position.seq)
		this.#receiver.caughtUp?.(position)
	}

	close(): void {
		this.#closed = true
		this.#round = undefined
		this.#channels.clear()
		this.#queue.clear()
		clearTimeout(this.#retry)
	}

	*#opened(): IterableIterator<[string, Tracked]> {
		for (const channel of this.#channels) if (channel[1].open) yield channel
	}

	/** There is another channel whose entries must follow those of the known epoch. */
	#standsOnOthers(tracked: Tracked): boolean {
		for (const [, other] of this.#opened()) if (other !== tracked) return true
		return false
	}

	/** No channel stands in the epoch of before. */
	#enterAt(head: LogPosition): void {
		if (this.#epoch !== head.epoch) this.#reached = 0
		this.#epoch = head.epoch
	}

	/** Delivers an entry, or drops it. `false`: there is a hole before it, or only the log knows how it follows. */
	#take(entry: LogEntry): boolean {
		const tracked = this.#channels.get(entry.channel)
		if (tracked === undefined) return true
		if (!tracked.open) {
			tracked.last = Math.max(tracked.last, entry.seq)
			return true
		}
		if (entry.epoch !== this.#epoch) return false
		if (entry.seq > tracked.last) {
			if (entry.prev > tracked.last) {
				this.counters.repairedHoles++
				return false
			}
			this.#deliver(tracked, entry)
		}
		return true
	}

	#deliver(tracked: Tracked, entry: LogEntry): void {
		tracked.last = entry.seq
		tracked.excused = false
		this.#reached = Math.max(this.#reached, entry.seq)
		this.#receiver.deliver(entry)
	}

	#repair(): void {
		this.#paused = 'repairing'
		this.#behind = false
		this.#queue.reopen()
		clearTimeout(this.#retry)
		const members = new Map(this.#opened())
		const round = { merge: new ChannelMerge(this.#wanted(members)), members, waiting: 0 }
		this.#round = round
		this.#run(round)
	}

	#wanted(channels: Iterable<[string, Tracked]>): Wanted[] {
		return Array.from(channels, ([name, { last, excused }]) => {
			return { name, from: last, ttl: this.#source.ttl(name), excused }
		})
	}

	#run(round: Round): void {
		this.#fill(round).catch((error: unknown) => {
			if (this.#round !== round) return
			this.#source.failed(error)
			this.#retry = setTimeout(() => this.#run(round), RETRY).unref()
		})
	}

	/** Delivers what the log has after what was delivered, on every channel, merged; then what waited. */
	async #fill(round: Round): Promise<void> {
		const { merge, members } = round
		while (members.size > 0 && !merge.isFinished) {
			const isFirst = merge.end === undefined
			if (isFirst) round.waiting = this.#queue.size
			const read = await this.#source.read(merge.next())
			if (this.#round !== round) return
			if (read.head.epoch !== this.#epoch) this.#enter(read)
			else if (merge.add(read)) {
				if (isFirst) this.#includeLate(round)
				this.#deliverRead(merge)
				if (this.#round !== round) return
				continue
			}
			return this.#repair()
		}
		this.#finish(round)
		if (this.#round === round) await this.#drain(round)
	}

	/** Channels that were opened while the head was read: no entry may follow one with a higher number. */
	#includeLate({ merge, members }: Round): void {
		const late = [...this.#opened()].filter(([name, tracked]) => members.get(name) !== tracked)
		if (late.length === 0) return
		for (const [name, tracked] of late) members.set(name, tracked)
		merge.include(this.#wanted(late))
	}

	#deliverRead(merge: ChannelMerge): void {
		for (const entry of merge.take()) {
			const tracked = this.#channels.get(entry.channel)
			if (tracked?.open === true && entry.seq > tracked.last) this.#deliver(tracked, entry)
		}
	}

	/** Another epoch has begun: the server was restarted or replaced. */
	#enter({ head, floor, cuts }: LogRead): void {
		const cut = this.#epoch === undefined ? undefined : cuts.get(this.#epoch)
		this.#epoch = head.epoch
		this.#reached = cut === undefined ? floor : Math.min(this.#reached, cut)
		// One object for all channels: a receiver tells a stream once of a position.
		const position = { epoch: head.epoch, seq: floor }
		for (const [name, tracked] of this.#opened()) {
			tracked.owed = undefined
			if (cut !== undefined) {
				// The server knows this instance's epoch up to the cut: what follows there follows here.
				tracked.last = Math.min(tracked.last, cut)
			} else {
				// Nobody can say whether something was lost with the old data.
				tracked.last = floor
				tracked.excused = true
				this.#reset(name, position, 'epoch')
			}
		}
	}

	/** Everything up to the end of the round was delivered, or is missing for good. */
	#finish({ merge, members, waiting }: Round): void {
		this.#queue.drop(waiting)
		const { end } = merge
		if (end === undefined) return
		const lost = new Set(merge.gaps())
		this.#reached = Math.max(this.#reached, end.seq)
		for (const [name, tracked] of members) {
			if (this.#channels.get(name) !== tracked) continue
			tracked.last = Math.max(tracked.last, end.seq)
			tracked.unsure = false
			tracked.excused = false
			tracked.owed = undefined
			if (lost.has(name)) this.#reset(name, end, 'gap')
		}
		this.#receiver.caughtUp?.(end)
	}

	/** Delivers what waited; a hole in it begins the next round, and the rest waits again. */
	async #drain(round: Round): Promise<void> {
		let sliceEnd = performance.now() + SLICE
		for (let entry = this.#queue.peek(); entry !== undefined; entry = this.#queue.peek()) {
			if (!this.#take(entry)) return this.#repair()
			if (this.#round !== round) return
			this.#queue.shift()
			if (performance.now() < sliceEnd) continue
			await nextTurn()
			if (this.#round !== round) return
			sliceEnd = performance.now() + SLICE
		}
		if (this.#queue.overflowed || this.#behind) return this.#repair()
		this.#round = undefined
		this.#paused = undefined
	}

	#reset(channel: string, position: LogPosition, reason: 'gap' | 'epoch'): void {
		this.counters.resets++
		this.#receiver.reset(channel, position, reason)
	}
}

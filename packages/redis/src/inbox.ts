import type { LogEntry, LogPosition, LogReceiver, ResetReason } from '@evstream/core'
import { ChannelMerge } from './channel-merge.js'
import { LiveOrder } from './live-order.js'
import { LiveQueue } from './live-queue.js'
import type { LogRead, ReadLog } from './read-reply.js'
import type { Wanted } from './read-slice.js'
import { TimeSlice } from './time-slice.js'
import { type Tracked, TrackedChannels } from './tracked-channels.js'

/** Reads what was missed, up to the head of the log as of its first read. */
interface Round {
	readonly merge: ChannelMerge
	readonly members: Map<string, Tracked>
	/** How many live entries waited when it first read the log: those it has read too. */
	waiting: number
	readonly slice: TimeSlice
}

/** How long a failed read waits before it is tried again, in ms. */
const RETRY = 250
/** How long resets may be put off because round follows round, in ms. */
const PUT_OFF = 10_000

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
	/** The log gave numbers of this epoch out twice. The next read must be of another epoch. */
	wentBack(epoch: string): void
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
 * overflows there is another round. What is missing is told once, at the end of the last one.
 */
export class Inbox {
	readonly counters: InboxCounters = { received: 0, repairedHoles: 0, resets: 0 }
	readonly #receiver: LogReceiver
	readonly #source: InboxSource
	readonly #channels = new TrackedChannels()
	#epoch: string | undefined
	/** No entry of this epoch up to here is delivered any more. */
	#reached = 0
	/** The log gave out again what comes after this number. */
	#back: number | undefined
	/** Some listeners have yet to be told that an epoch has begun. */
	#begun = false
	readonly #order = new LiveOrder()
	readonly #queue = new LiveQueue()
	#paused: 'lost' | 'repairing' | undefined
	/** A channel was opened that has a hole: another round must follow. */
	#behind = false
	/** When the first reset was put off to the end of the next round. */
	#putOffSince: number | undefined
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
		return Array.from(this.#channels.opened(), ([name]) => name)
	}

	/** All messages up to here were delivered on all open channels; `undefined` if there are none. */
	get lowest(): number | undefined {
		return this.#channels.lowest
	}

	/** Some channel is open. */
	get isUsed(): boolean {
		return this.#channels.isUsed
	}

	/** The channel is being subscribed: its entries may arrive from now on. */
	opening(channel: string): void {
		this.#channels.add(channel, this.#paused === 'lost')
	}

	/**
	 * The channel is subscribed, and the log stood at `head` after that. Returns the position from which on it is certain.
	 */
	opened(channel: string, head: LogPosition): LogPosition {
		const tracked = this.#channels.get(channel)
		if (tracked === undefined) return head
		if (this.#epoch === undefined || !this.#channels.hasOthers(tracked)) this.#enterAt(head)
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
			if (!this.#order.take(entry)) {
				this.#wentBack(entry)
				continue
			}
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
		this.#order.clear()
		clearTimeout(this.#retry)
		this.#channels.doubtOpening()
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
			if (this.isUsed) this.#repair()
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

	/** No channel stands in the epoch of before. */
	#enterAt(head: LogPosition): void {
		if (this.#epoch !== head.epoch) {
			this.#reached = 0
			this.#back = undefined
		}
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
		if (tracked.reset !== undefined) tracked.last = Math.max(tracked.last, entry.seq)
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

	/**
	 * The server loaded older data and gave numbers out again. Which entries of the same number are meant, only the log
	 * knows.
	 */
	#wentBack({ epoch, seq }: LogEntry): void {
		this.#queue.clear()
		if (epoch === this.#epoch) this.#back = Math.min(this.#back ?? seq, seq - 1)
		this.#channels.doubtOpening()
		this.#source.wentBack(epoch)
		this.#repair()
	}

	#repair(): void {
		this.#paused = 'repairing'
		this.#behind = false
		this.#queue.reopen()
		clearTimeout(this.#retry)
		const members = new Map(this.#channels.opened())
		const merge = new ChannelMerge(this.#wanted(members))
		const round = { merge, members, waiting: 0, slice: new TimeSlice() }
		this.#round = round
		this.#run(round)
	}

	#wanted(channels: Iterable<[string, Tracked]>): Wanted[] {
		const wanted: Wanted[] = []
		for (const [name, { last, excused, reset }] of channels) {
			// After a reset that is owed nothing before the end of the round is delivered.
			if (reset?.reason === 'gap') continue
			wanted.push({ name, from: last, ttl: this.#source.ttl(name), excused })
		}
		return wanted
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
		if (this.#begun) {
			await this.#tell(round, 'epoch')
			if (this.#round !== round) return
			this.#begun = false
		}
		while (members.size > 0 && !merge.isFinished) {
			const isFirst = merge.end === undefined
			if (isFirst) round.waiting = this.#queue.size
			const read = await this.#source.read(merge.next())
			if (this.#round !== round) return
			if (read.head.epoch !== this.#epoch || this.#back !== undefined) this.#enter(read)
			else if (merge.add(read)) {
				if (isFirst) this.#includeLate(round)
				await this.#deliverRead(round)
				if (this.#round !== round) return
				continue
			}
			return this.#repair()
		}
		await this.#finish(round)
		if (this.#round === round) await this.#drain(round)
	}

	/** Channels that were opened while the head was read: no entry may follow one with a higher number. */
	#includeLate({ merge, members }: Round): void {
		const late = [...this.#channels.opened()].filter(([name, tracked]) => members.get(name) !== tracked)
		if (late.length === 0) return
		for (const [name, tracked] of late) members.set(name, tracked)
		merge.include(this.#wanted(late))
	}

	async #deliverRead(round: Round): Promise<void> {
		for (const entry of round.merge.take()) {
			const tracked = this.#channels.get(entry.channel)
			if (tracked?.open === true && entry.seq > tracked.last) this.#deliver(tracked, entry)
			if (!round.slice.isOver) continue
			await round.slice.next()
			if (this.#round !== round) return
		}
	}

	/** Another epoch has begun: the server was restarted or replaced, or loaded older data. */
	#enter({ head, floor, cuts }: LogRead): void {
		const known = this.#epoch === undefined ? undefined : cuts.get(this.#epoch)
		const cut = known === undefined ? undefined : Math.min(known, this.#back ?? known)
		// If it is none, what the log has may have been delivered, or not.
		const start = this.#epoch === head.epoch ? head.seq : floor
		this.#epoch = head.epoch
		this.#back = undefined
		this.#begun ||= cut === undefined
		this.#reached = cut === undefined ? start : Math.min(this.#reached, cut)
		// One object for all channels: a receiver tells a stream once of a position.
		const position = { epoch: head.epoch, seq: start }
		for (const [, tracked] of this.#channels.opened()) {
			tracked.owed = undefined
			if (cut !== undefined) {
				// The server knows this instance's epoch up to the cut: what follows there follows here.
				tracked.last = Math.min(tracked.last, cut)
			} else {
				// Nobody can say whether something was lost with the old data.
				tracked.last = start
				tracked.excused = true
				tracked.reset = { position, reason: 'epoch' }
			}
		}
	}

	/** Everything up to the end of the round was delivered, or is missing for good. */
	async #finish(round: Round): Promise<void> {
		this.#queue.drop(round.waiting)
		const { end } = round.merge
		if (end === undefined) return
		this.#settle(round, end)
		if (this.#putsOff()) return
		await this.#tell(round, 'gap')
		if (this.#round === round) this.#receiver.caughtUp?.(end)
	}

	#settle({ merge, members }: Round, end: LogPosition): void {
		const lost = new Set(merge.gaps())
		this.#reached = Math.max(this.#reached, end.seq)
		for (const [name, tracked] of members) {
			if (this.#channels.get(name) !== tracked) continue
			tracked.last = Math.max(tracked.last, end.seq)
			tracked.unsure = false
			tracked.excused = false
			tracked.owed = undefined
			if (lost.has(name) || tracked.reset !== undefined) tracked.reset = { position: end, reason: 'gap' }
		}
	}

	/** Another round follows, which may find more missing: a stream is told once. */
	#putsOff(): boolean {
		if (!this.#queue.overflowed && !this.#behind) return false
		const now = performance.now()
		this.#putOffSince ??= now
		return now - this.#putOffSince < PUT_OFF
	}

	/** Tells the listeners what they missed. What a newer round interrupts, that one tells. */
	async #tell(round: Round, reason: ResetReason): Promise<void> {
		for (const [name, tracked] of this.#channels.opened()) {
			const { reset } = tracked
			if (reset?.reason !== reason) continue
			tracked.reset = undefined
			this.counters.resets++
			this.#receiver.reset(name, reset.position, reason)
			if (!round.slice.isOver) continue
			await round.slice.next()
			if (this.#round !== round) return
		}
	}

	/** Delivers what waited; a hole in it begins the next round, and the rest waits again. */
	async #drain(round: Round): Promise<void> {
		for (let entry = this.#queue.peek(); entry !== undefined; entry = this.#queue.peek()) {
			if (!this.#take(entry)) return this.#repair()
			if (this.#round !== round) return
			this.#queue.shift()
			if (!round.slice.isOver) continue
			await round.slice.next()
			if (this.#round !== round) return
		}
		if (this.#queue.overflowed || this.#behind) return this.#repair()
		this.#round = undefined
		this.#paused = undefined
		this.#putOffSince = undefined
	}
}

import type { Channel, Subscriber } from './channel.js'
import type { Awaitable, LogPosition, ResetReason } from './log.js'
import type { NewestMessages } from './newest-messages.js'
import { covers, earliest, later } from './position.js'
import { NOTHING, type ReplayContext, type Step, withPage } from './replay-context.js'
import type { ReplayCursor } from './replay-cursor.js'
import type { ReplayOutput } from './replay-output.js'
import { lowOf, parseResumePoint, type ResumePoint } from './resume-point.js'

/** What a stream wants of a channel. */
export interface Wish {
	/** How many of the newest messages, if the client came without a position. */
	readonly last: number
	/** What had been delivered here when the stream began to listen. */
	readonly from: LogPosition | undefined
}

/** Channels that were added to a replay: waits until this instance follows them, and finds where each begins. */
export class ReplayAdmission {
	readonly #added = new Map<Channel, Wish>()
	readonly #context: ReplayContext
	readonly #stream: Subscriber
	readonly #cursor: ReplayCursor
	readonly #newest: NewestMessages
	readonly #output: ReplayOutput

	constructor(
		context: ReplayContext,
		stream: Subscriber,
		cursor: ReplayCursor,
		newest: NewestMessages,
		output: ReplayOutput,
	) {
		this.#context = context
		this.#stream = stream
		this.#cursor = cursor
		this.#newest = newest
		this.#output = output
	}

	/** How many channels have not been admitted yet. */
	get size(): number {
		return this.#added.size
	}

	has(channel: Channel): boolean {
		return this.#added.has(channel)
	}

	add(channel: Channel, wish: Wish): void {
		this.#added.set(channel, wish)
	}

	leave(channel: Channel): void {
		this.#added.delete(channel)
	}

	/** Admits the channels that were added until now, once this instance certainly gets their entries. */
	next(): Awaitable<Step> {
		const added = new Map(this.#added)
		const pending: Promise<unknown>[] = []
		for (const channel of added.keys()) {
			const { since } = channel
			// Once a channel was left, its error does not matter.
			if (since instanceof Promise)
				pending.push(since.catch((error: unknown) => this.#unlessLeft(channel, error)))
		}
		if (pending.length === 0) return this.#admit(added)
		return Promise.all(pending).then(() => this.#admit(added))
	}

	#unlessLeft(channel: Channel, error: unknown): void {
		if (this.#added.has(channel)) throw error
	}

	#admit(added: Map<Channel, Wish>): Awaitable<Step> {
		if (this.#stream.closed) return NOTHING
		for (const channel of added.keys()) {
			// It may have been left, or left and added again, while this waited.
			if (this.#added.delete(channel)) this.#cursor.channels.set(channel.name, channel)
			else added.delete(channel)
		}
		if (added.size === 0) return NOTHING
		const { past, lastEventId } = this.#stream
		if (lastEventId === undefined) return this.#admitNewcomer(added)
		if (this.#cursor.position === undefined) this.#context.count('replays')
		const point = past?.restart === undefined ? parseResumePoint(lastEventId) : { position: past.restart }
		return point === undefined ? this.#resetAtHead('invalid') : this.#admitReturning(added, point)
	}

	/** A newcomer begins where this instance stands, or with the newest messages it asked for. */
	#admitNewcomer(added: ReadonlyMap<Channel, Wish>): Awaitable<Step> {
		const newest = new Map<string, number>()
		const listenedAt = new Map<string, LogPosition>()
		const starts = new Map<string, LogPosition>()
		for (const [channel, { last, from }] of added) {
			const at = this.#startOf(channel, from)
			if (last > 0) {
				newest.set(channel.name, last)
				if (from !== undefined) listenedAt.set(channel.name, from)
				this.#mustCover(at)
			} else if (at !== undefined) starts.set(channel.name, at)
		}
		if (this.#cursor.position === undefined && newest.size > 0) {
			for (const [channel, { last, from }] of added) if (last > 0) this.#newest.want(channel.name, last, from)
			for (const [name, at] of starts) this.#newest.startAt(name, at)
			return NOTHING
		}
		if (this.#cursor.position === undefined) this.#begin(starts)
		const epoch = this.#cursor.position?.epoch
		// Of another epoch, it gets everything after the position.
		for (const [name, at] of starts) if (at.epoch === epoch) this.#cursor.since.set(name, at.seq)
		return newest.size > 0 ? this.#findLast(newest, listenedAt) : NOTHING
	}

	/** Begins at the first start. Without one, or with starts of two epochs, the newcomer begins at the log's head. */
	#begin(starts: ReadonlyMap<string, LogPosition>): void {
		const begin = earliest(starts.values())
		if (begin !== undefined) this.#cursor.moveTo(begin)
		this.#cursor.complete = begin !== undefined
	}

	/** A client that came back gets of each channel what it has not had. */
	#admitReturning(added: ReadonlyMap<Channel, Wish>, point: ResumePoint): Awaitable<Step> {
		const cursor = this.#cursor
		const { position } = point
		if (cursor.position === undefined) {
			cursor.moveTo(position)
			cursor.complete = false
		}
		const at = cursor.position ?? position
		const foreign: string[] = []
		for (const [channel, { from }] of added) {
			const { name } = channel
			this.#mustCover(this.#startOf(channel, from))
			const has = this.#stream.past?.left.get(name) ?? { epoch: position.epoch, seq: lowOf(point, name) }
			if (has.epoch !== at.epoch) foreign.push(name)
			else if (has.seq > at.seq) cursor.since.set(name, has.seq)
			if (has.epoch !== at.epoch || has.seq < at.seq) cursor.late.set(name, has.seq)
		}
		// Only the log knows whether the numbers of another epoch still count.
		return foreign.length === 0 ? NOTHING : this.#checkEpoch(foreign, position)
	}

	/** From here on this instance holds every entry of the channel for the stream. */
	#startOf({ certainSince }: Channel, from: LogPosition | undefined): LogPosition | undefined {
		return later(from, certainSince, this.#context.delivered?.epoch)
	}

	/** Entries between the client's position and `start` were not held: they must be read. */
	#mustCover(start: LogPosition | undefined): void {
		if (!covers(this.#cursor.position, start)) this.#cursor.complete = false
	}

	#checkEpoch(names: readonly string[], after: LogPosition): Awaitable<Step> {
		return withPage(this.#context.history.read(names, { after }, undefined), ({ reset }) => {
			if (reset !== undefined) this.#output.resetLate(reset)
		})
	}

	/**
	 * Finds where the newest messages begin of channels that a newcomer listens to later than to others. It gets what
	 * came since the `listen` in any case, also if those are more.
	 */
	#findLast(
		last: ReadonlyMap<string, number>,
		listenedAt: ReadonlyMap<string, LogPosition>,
	): Awaitable<Step> {
		const least = this.#cursor.least(this.#context.delivered)
		return withPage(this.#context.history.read([...last.keys()], { last }, least), ({ entries, since }) => {
			const starts = new Map(since)
			for (const { channel, seq } of entries) if (!starts.has(channel)) starts.set(channel, seq - 1)
			for (const [channel, seq] of starts)
				if (last.has(channel)) this.#beginAt(channel, seq, listenedAt.get(channel))
		})
	}

	/** The client gets what came on the channel after `seq`, and after the `listen`. */
	#beginAt(channel: string, seq: number, listenedAt: LogPosition | undefined): void {
		const { position, late, since } = this.#cursor
		if (position === undefined) return
		const latest = listenedAt?.epoch === position.epoch ? listenedAt.seq : position.seq
		const low = Math.min(seq, latest)
		if (low > position.seq) since.set(channel, low)
		else late.set(channel, low)
	}

	#resetAtHead(reason: ResetReason): Awaitable<Step> {
		const names = [...this.#cursor.channels.keys()]
		const least = this.#cursor.least(this.#context.delivered)
		return withPage(this.#context.history.read(names, { last: 0 }, least), ({ upTo }) => {
			this.#output.resetAt(upTo, reason)
		})
	}
}

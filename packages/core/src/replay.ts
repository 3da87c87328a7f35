import type { Channel, Joining } from './channel.js'
import type { Connection } from './connection.js'
import type { Frame } from './frame.js'
import {
	frameOf,
	frameOfAll,
	type HistoryPage,
	type HistoryReader,
	positionFrame,
	resetFrame,
} from './history.js'
import type { Awaitable, LogEntry, LogPosition, LogStart } from './log.js'
import type { ManagedStream } from './managed-stream.js'
import { parsePosition } from './position.js'
import { atEndOfTick, type TickWork } from './tick.js'
import { now } from './timers.js'

/** The most live entries a stream holds back while it catches up; over that it reads them from the log again. */
const HELD = 1_024

/** What a replay needs of its manager. */
export interface ReplayContext {
	readonly history: HistoryReader
	/** The last entry that was delivered on this instance. */
	readonly delivered: LogPosition | undefined
	/** Channel messages of this tick go out before the set of listeners changes. */
	flush(): void
	/** Whether the stream may see the entry. */
	mayGet(stream: ManagedStream, entry: LogEntry): boolean
	count(what: 'replays' | 'resets'): void
	onError(error: unknown): void
}

/**
 * Brings a stream to the end of the log on the channels it began to listen to in one tick, and makes it a
 * listener there. Everything after the client's position, once, in order; or one `reset`.
 *
 * Live entries wait while pages are read. A page says up to where it is complete (`upTo`); what was held and lies
 * after that follows, and what is delivered later but lies before it is skipped. With the in-memory log all of it
 * happens at the end of the tick.
 */
export class Replay implements Joining, TickWork {
	readonly #connection: Connection
	readonly #context: ReplayContext
	readonly #stream: ManagedStream
	/** The channels, with how many of the newest messages a newcomer wants. */
	readonly #channels = new Map<Channel<ManagedStream>, number>()
	#held: LogEntry[] | undefined = []
	/** Channels it does not want any more: pages that were asked for before may have entries of them. */
	readonly #left = new Set<string>()
	/** It listens to a channel already and has yet to be told where it stands. */
	#began = false
	#holds = false
	/** From here on this instance gets every entry of its channels. */
	#since: LogPosition | undefined
	/** Set once all pages are written: live entries up to here were in them. */
	#skipTo: LogPosition | undefined
	/** The epoch of this instance then. If the pages were of another one, what still comes of it is over. */
	#over: string | undefined

	constructor(context: ReplayContext, stream: ManagedStream) {
		this.#context = context
		this.#stream = stream
		this.#connection = stream.session
		atEndOfTick(this)
	}

	add(channel: Channel<ManagedStream>, last: number): void {
		const { delivered } = this.#context
		// A newcomer to a channel that is up to date here has nothing to catch up with: it begins where it came.
		if (last === 0 && this.#stream.lastEventId === undefined && covers(delivered, channel.since)) {
			channel.listeners.set(this.#connection, this.#stream)
			this.#began = true
		} else {
			this.#channels.set(channel, last)
			this.#left.delete(channel.name)
			channel.joining.set(this.#connection, this)
		}
	}

	leave(channel: Channel<ManagedStream>): void {
		this.#channels.delete(channel)
		this.#left.add(channel.name)
		channel.joining.delete(this.#connection)
		this.#held = this.#held?.filter((entry) => entry.channel !== channel.name)
	}

	live(entry: LogEntry): void {
		const skipTo = this.#skipTo
		if (skipTo === undefined) {
			if (this.#held === undefined) return
			if (this.#held.length < HELD) this.#held.push(entry)
			else this.#held = undefined
		} else if (entry.epoch === skipTo.epoch ? entry.seq > skipTo.seq : entry.epoch !== this.#over)
			this.#join()
	}

	gap(channel: Channel<ManagedStream>, position: LogPosition): void {
		if (this.#skipTo === undefined) this.#held = undefined
		// Its pages may have reached further than what was lost; if not, it is a listener that missed something.
		else if (!covers(this.#skipTo, position)) this.#join([channel])
	}

	endTick(): void {
		if (this.#stream.replay === this) this.#stream.replay = undefined
		// A client that comes back keeps its id until it has all of what it missed.
		if (this.#channels.size > 0 && this.#stream.lastEventId !== undefined) this.#hold()
		try {
			const done = this.#run()
			if (done instanceof Promise) done.catch((error: unknown) => this.#fail(error))
		} catch (error) {
			this.#fail(error)
		}
	}

	#run(): Awaitable<void> {
		this.#context.flush()
		const since: (LogPosition | undefined)[] = []
		const pending: Promise<LogPosition | undefined>[] = []
		for (const channel of this.#channels.keys()) {
			if (channel.since instanceof Promise) pending.push(this.#certain(channel, channel.since))
			else since.push(channel.since)
		}
		if (pending.length === 0) return this.#start(since)
		return Promise.all(pending).then((positions) => this.#start([...since, ...positions]))
	}

	/** A channel that was left is not waited for any more. */
	#certain(channel: Channel<ManagedStream>, since: Promise<LogPosition>): Promise<LogPosition | undefined> {
		return since.catch((error: unknown) => {
			if (this.#channels.has(channel)) throw error
			return undefined
		})
	}

	#start(since: readonly (LogPosition | undefined)[]): Awaitable<void> {
		const { delivered } = this.#context
		if (this.#channels.size === 0) {
			if (this.#began && delivered !== undefined) this.#send(positionFrame(delivered))
			this.#release()
			return undefined
		}
		for (const position of since) this.#since = later(this.#since, position)
		const { lastEventId } = this.#stream
		if (lastEventId !== undefined) {
			this.#context.count('replays')
			const after = parsePosition(lastEventId)
			return this.#read(after === undefined ? { last: 0 } : { after }, after === undefined)
		}
		const last = Math.max(0, ...this.#channels.values())
		if (last > 0) return this.#read({ last }, false)
		// A newcomer begins where this instance stands; nothing has to be read.
		const from = later(delivered, this.#since)
		return from === undefined ? this.#read({ last: 0 }, false) : this.#finish(from, false)
	}

	#read(start: LogStart, invalid: boolean): Awaitable<void> {
		const names = [...this.#channels.keys()].map(({ name }) => name)
		// What was appended before this instance followed a channel it does not get live.
		const page = this.#context.history.read(names, start, later(this.#context.delivered, this.#since))
		const write = (result: HistoryPage) => this.#write(result, start, invalid)
		return page instanceof Promise ? page.then(write) : write(page)
	}

	#write(page: HistoryPage, start: LogStart, invalid: boolean): Awaitable<void> {
		if (this.#stream.closed) return undefined
		if (this.#channels.size === 0) {
			this.#release()
			return undefined
		}
		const { upTo } = page
		const reset = page.reset ?? (invalid ? 'invalid' : undefined)
		if (reset !== undefined) {
			this.#context.count('resets')
			this.#send(resetFrame(upTo, reset))
			return this.#finish(upTo, true)
		}
		const entries = 'last' in start ? this.#wanted(page.entries) : page.entries
		const seen = entries.filter(
			(entry) => !this.#left.has(entry.channel) && this.#context.mayGet(this.#stream, entry),
		)
		const shared = seen.length === page.entries.length ? page.frame : undefined
		if (seen.length > 0) this.#send(shared ?? frameOfAll(seen))
		// At the client's pace: a long replay must not make a client that reads look slow.
		const next = () => (page.more ? this.#read({ after: upTo }, false) : this.#finish(upTo, false))
		return this.#connection.behind ? this.#connection.drain().then(next) : next()
	}

	/** Of channels that want fewer of the newest messages than the others, the older ones are left out. */
	#wanted(entries: readonly LogEntry[]): readonly LogEntry[] {
		const left = new Map([...this.#channels].map(([channel, last]) => [channel.name, last]))
		const wanted: LogEntry[] = []
		for (const entry of entries.toReversed()) {
			const count = left.get(entry.channel) ?? 0
			left.set(entry.channel, count - 1)
			if (count > 0) wanted.push(entry)
		}
		return wanted.length === entries.length ? entries : wanted.reverse()
	}

	#finish(upTo: LogPosition, told: boolean): Awaitable<void> {
		if (this.#stream.closed) return undefined
		const held = this.#held
		this.#held = []
		if (held === undefined || held.some(({ epoch }) => epoch !== upTo.epoch)) {
			// What was held is not complete, or belongs to another epoch: the log knows.
			return this.#read({ after: upTo }, false)
		}
		const late = held.filter((entry) => entry.seq > upTo.seq)
		for (const entry of late) {
			if (this.#context.mayGet(this.#stream, entry)) this.#send(frameOf(entry))
		}
		const position = late.at(-1) ?? upTo
		if (!told || late.length > 0) this.#send(positionFrame(position))
		this.#release()
		this.#skipTo = position
		this.#over = this.#context.delivered?.epoch
		if (covers(this.#context.delivered, position)) this.#join()
		return undefined
	}

	#send(frame: Frame): void {
		this.#connection.writePast(frame, now())
	}

	#hold(): void {
		this.#holds = true
		this.#connection.hold()
	}

	#release(): void {
		if (!this.#holds) return
		this.#holds = false
		this.#connection.release()
	}

	#join(channels: Iterable<Channel<ManagedStream>> = this.#channels.keys()): void {
		// The run of this tick may hold entries that were in the pages.
		this.#context.flush()
		for (const channel of channels) {
			this.#channels.delete(channel)
			channel.joining.delete(this.#connection)
			channel.listeners.set(this.#connection, this.#stream)
		}
	}

	/** The log could not be read: the client comes back to where it was, or to another instance. */
	#fail(error: unknown): void {
		if (this.#stream.closed) return
		this.#context.onError(error)
		this.#connection.finish('closed', null)
	}
}

/** Everything up to `other` has been delivered. */
function covers(delivered: LogPosition | undefined, other: Awaitable<LogPosition> | undefined): boolean {
	if (delivered === undefined || other === undefined || other instanceof Promise) return false
	return delivered.epoch === other.epoch && delivered.seq >= other.seq
}

function later(a: LogPosition | undefined, b: LogPosition | undefined): LogPosition | undefined {
	if (a === undefined || b === undefined) return a ?? b
	return a.epoch === b.epoch && a.seq >= b.seq ? a : b
}

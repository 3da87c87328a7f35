import { callBack } from './callbacks.js'
import { type Channel, type Replaying, restartAt, type Subscriber } from './channel.js'
import { Frame, withId } from './frame.js'
import { HeldEntries } from './held-entries.js'
import {
	frameOf,
	frameOfAll,
	type HistoryPage,
	type HistoryReader,
	positionFrame,
	resetFrame,
} from './history.js'
import type { Awaitable, LogEntry, LogPosition, LogStart, ResetReason } from './log.js'
import { covers, earlier, later } from './position.js'
import { formatLate, lowOf, parseResumePoint, type ResumePoint } from './resume-point.js'
import { atEndOfTick, type TickWork } from './tick.js'
import { now } from './timers.js'
import { nextTurn } from './turn.js'

/** A replay leaves the event loop to others after this time, in ms. */
const SLICE = 4

/** What a replay needs of its manager. */
export interface ReplayContext {
	readonly history: HistoryReader
	/** The last entry that was delivered on this instance. */
	readonly delivered: LogPosition | undefined
	/** Channel messages of this tick go out before the set of listeners changes. */
	flush(): void
	/** Whether the stream may see the entry. */
	mayGet(stream: Subscriber, entry: LogEntry): boolean
	count(what: 'replays' | 'resets'): void
	onError(error: unknown): void
}

/** What a stream wants of a channel. */
interface Wish {
	/** How many of the newest messages, if the client came without a position. */
	readonly last: number
	/** What had been delivered here when it began to listen. */
	readonly from: LogPosition | undefined
}

/** Writes what was read. */
type Step = () => void

const NOTHING: Step = () => {}

/** COLLECTING: `listen` calls of this tick. READING: pages are written. SETTLING: they reach further than this instance. */
type Phase = 'collecting' | 'reading' | 'settling' | 'done'

/**
 * Brings a stream to the end of the log on the channels it began to listen to, and makes it a listener there.
 * Everything after the client's position, once, in order; or one `reset`.
 *
 *     listen ── end of tick ──► reading: older messages of late channels, then pages ──► held ──► settling ──► live
 *               (collecting)    the client's position rises with what is written         │
 *                               live entries are held meanwhile ─────────────────────────┘
 *
 * While it reads and settles it `holds`: nothing with an id reaches the stream but from here, on none of its
 * channels. So ids rise, and none passes a message that was not written. It writes only when the client is not
 * behind, so it is never what makes a client slow.
 *
 * A page says up to where it is complete (`upTo`). What was held and lies after that follows; what is delivered later
 * but lies before it is skipped. With the in-memory log a short replay happens at the end of the tick.
 */
export class Replay implements Replaying, TickWork {
	readonly #context: ReplayContext
	readonly #stream: Subscriber
	#phase: Phase = 'collecting'
	/** Channels that are to be brought to the end of the log. */
	readonly #channels = new Map<string, Channel>()
	/** Channels that were not looked at yet. */
	readonly #added = new Map<Channel, Wish>()
	/** Some channel was up to date when it was added, and its stream has yet to be told where it stands. */
	#began = false
	#position: LogPosition | undefined
	/** Channels of which the client has everything only up to a `seq` below `#position`. */
	readonly #late = new Map<string, number>()
	/** Channels that a newcomer began to listen to here: what was before is not for it. */
	#since = new Map<string, number>()
	/** Where channels were that a newcomer wants the newest messages of: what came later it gets in any case. */
	readonly #listenedAt = new Map<string, number>()
	/** The first page, if it is not simply what comes after `#position`. */
	#first: LogStart | undefined
	/** Whether the client was told of `#position` by a `reset`. */
	#wasReset = false
	/** Everything after `#position` was held, so that no page need be read. */
	#complete = false
	#held = new HeldEntries()
	/** While settling: the epoch of this instance when it began. What still comes of it is over. */
	#over: string | undefined
	#sliceEnd = 0
	/** What had been delivered here when it was made. */
	readonly #deliveredBefore: LogPosition | undefined

	constructor(context: ReplayContext, stream: Subscriber) {
		this.#context = context
		this.#stream = stream
		this.#deliveredBefore = context.delivered
		atEndOfTick(this)
	}

	get holds(): boolean {
		return this.#phase === 'reading' || this.#phase === 'settling'
	}

	get position(): LogPosition | undefined {
		return this.#position
	}

	add(channel: Channel, last: number): void {
		const { writer } = this.#stream
		if (this.#phase === 'collecting' && last === 0 && this.#isUpToDate(channel)) {
			// Nothing to catch up with: it begins where it came.
			channel.listeners.set(writer, this.#stream)
			this.#began = true
			return
		}
		if (this.#phase === 'settling') this.#resume()
		// A stream that is live holds from now on: what is sent next must not pass what it is owed of this channel. Not
		// while messages are written: those come first.
		if (this.#phase === 'collecting' && this.#stream.told !== undefined) callBack(() => this.#holdIfAdded())
		this.#added.set(channel, { last, from: this.#context.delivered })
		channel.replaying.set(writer, this)
	}

	positionOf(channel: Channel): LogPosition | undefined {
		const at = this.#position
		if (at === undefined || this.#added.has(channel)) return undefined
		const seq = this.#late.get(channel.name)
		return seq === undefined ? at : { epoch: at.epoch, seq }
	}

	leave(channel: Channel): void {
		this.#channels.delete(channel.name)
		this.#added.delete(channel)
		this.#late.delete(channel.name)
		this.#since.delete(channel.name)
		this.#held.drop(channel.name)
		channel.replaying.delete(this.#stream.writer)
	}

	live(entry: LogEntry): void {
		if (this.#phase !== 'settling') this.#held.push(entry)
		else if (this.#isAfter(entry)) this.#join()
	}

	caughtUp(): void {
		if (this.#phase === 'settling' && covers(this.#context.delivered, this.#position)) this.#join()
	}

	gap(position: LogPosition): void {
		if (this.#phase !== 'settling') this.#held.incomplete()
		else if (!covers(this.#position, position)) {
			// The log says what is to be had of it.
			this.#resume()
			this.#complete = false
		}
	}

	endTick(): void {
		if (this.#phase === 'done') return
		this.#context.flush()
		if (this.#stream.closed) this.#end()
		else if (this.#added.size > 0) {
			if (this.#phase === 'collecting') this.#hold()
			this.#start()
		} else if (this.#phase === 'reading') this.#start()
		else {
			if (this.#began && this.#context.delivered !== undefined) this.#tell(this.#context.delivered)
			this.#end()
		}
	}

	/** Nothing of the channel is to be replayed: the client came without a position. */
	#isUpToDate(channel: Channel): boolean {
		return this.#stream.lastEventId === undefined && covers(this.#context.delivered, this.#sinceOf(channel))
	}

	#holdIfAdded(): void {
		if (this.#phase !== 'collecting' || this.#added.size === 0 || this.#stream.closed) return
		this.#context.flush()
		if (!this.#stream.closed) this.#hold()
	}

	/** From here on nothing with an id reaches the stream but from here. */
	#hold(): void {
		const { writer, channels, told } = this.#stream
		const { delivered } = this.#context
		this.#phase = 'reading'
		const live = channels.filter((channel) => channel.listeners.delete(writer))
		// A stream that was told where it stands, or was written to since, has everything up to here.
		const wasLive = told !== undefined || (live.length > 0 && delivered !== this.#deliveredBefore)
		if (wasLive) this.#position = later(delivered, told)
		this.#complete = wasLive && live.length > 0
		for (const channel of live) {
			channel.replaying.set(writer, this)
			if (wasLive) this.#channels.set(channel.name, channel)
			else this.#added.set(channel, { last: 0, from: this.#deliveredBefore })
		}
	}

	#start(): void {
		this.#sliceEnd = performance.now() + SLICE
		this.#catchUp().catch((error: unknown) => this.#fail(error))
	}

	/** A channel was added while it settles: it reads again. Nothing after `#position` was delivered yet. */
	#resume(): void {
		this.#phase = 'reading'
		this.#complete = true
		this.#held = new HeldEntries()
		atEndOfTick({ endTick: () => this.#start() })
	}

	/**
	 * Reads what comes next, and writes it when the client has taken what was before: so what a newcomer gets is
	 * decided when it comes. Awaits only what is not there yet: with the in-memory log a short replay is over when this
	 * returns.
	 */
	async #catchUp(): Promise<void> {
		const { writer } = this.#stream
		while (this.#isWanted) {
			const step = this.#next()
			const write = step instanceof Promise ? await step : step
			while (writer.behind) await writer.drained()
			if (performance.now() > this.#sliceEnd) {
				await nextTurn()
				while (writer.behind) await writer.drained()
				this.#sliceEnd = performance.now() + SLICE
			}
			if (this.#isWanted) write()
		}
		if (this.#phase === 'reading') this.#end()
	}

	/** What was read would pass what the client is owed of a channel that was added meanwhile. It is read again. */
	get #isOutdated(): boolean {
		return this.#added.size > 0 && this.#stream.lastEventId !== undefined
	}

	get #isWanted(): boolean {
		return this.#phase === 'reading' && this.#channels.size + this.#added.size > 0 && !this.#stream.closed
	}

	/** What comes next: channels that were added, a page of late ones, a page of all, or what was held. */
	#next(): Awaitable<Step> {
		if (this.#added.size > 0) return this.#admitAdded()
		if (this.#late.size > 0) return this.#readLate()
		if (this.#complete) {
			return () => {
				if (!this.#isOutdated) this.#writeHeld()
			}
		}
		return this.#readPage()
	}

	/** Waits until it is certain from where on this instance gets the added channels, and finds where each begins. */
	#admitAdded(): Awaitable<Step> {
		const added = new Map(this.#added)
		const pending: Promise<unknown>[] = []
		for (const channel of added.keys()) {
			const { since } = channel
			// A channel that was left is not waited for any more.
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
		if (!this.#isWanted) return NOTHING
		for (const channel of added.keys()) {
			// It may have been left, or left and added again, while this waited.
			if (this.#added.delete(channel)) this.#channels.set(channel.name, channel)
			else added.delete(channel)
		}
		if (added.size === 0) return NOTHING
		const { past, lastEventId } = this.#stream
		if (lastEventId === undefined) return this.#admitNewcomer(added)
		if (this.#position === undefined) this.#context.count('replays')
		const point = past?.restart === undefined ? parseResumePoint(lastEventId) : { position: past.restart }
		return point === undefined ? this.#resetAtHead('invalid') : this.#admitReturning(added, point)
	}

	/** A newcomer begins where this instance stands, or with the newest messages it asked for. */
	#admitNewcomer(added: ReadonlyMap<Channel, Wish>): Awaitable<Step> {
		const newest = new Map<string, number>()
		let begin: LogPosition | undefined
		for (const [channel, { last, from }] of added) {
			if (last > 0) {
				newest.set(channel.name, last)
				if (from !== undefined) this.#listenedAt.set(channel.name, from.seq)
			} else {
				const at = later(from, this.#sinceOf(channel))
				if (at !== undefined) this.#since.set(channel.name, at.seq)
				begin = earlier(begin, at)
			}
		}
		if (this.#position !== undefined) return newest.size > 0 ? this.#findLast(newest) : NOTHING
		if (newest.size > 0) {
			this.#first = { last: newest }
			return this.#readPage()
		}
		this.#position = begin
		this.#complete = begin !== undefined
		return NOTHING
	}

	/** A client that came back gets of each channel what it has not had. */
	#admitReturning(added: ReadonlyMap<Channel, Wish>, point: ResumePoint): Awaitable<Step> {
		const { position } = point
		if (this.#position === undefined) this.#complete = false
		this.#position ??= position
		const at = this.#position
		const foreign: string[] = []
		for (const [channel, { from }] of added) {
			const { name } = channel
			// What came on the channel before this instance followed it for the stream was not held.
			if (!covers(at, later(from, this.#sinceOf(channel)))) this.#complete = false
			const low = lowOf(point, name)
			const has = this.#stream.past?.left.get(name) ?? { epoch: position.epoch, seq: low }
			if (has.epoch !== at.epoch) foreign.push(name)
			else if (has.seq > at.seq) this.#since.set(name, has.seq)
			if (has.epoch !== at.epoch || has.seq < at.seq) this.#late.set(name, has.seq)
		}
		// Of another epoch, only the log knows whether its numbers still count.
		return foreign.length === 0 ? NOTHING : this.#checkEpoch(foreign, position)
	}

	#checkEpoch(names: readonly string[], after: LogPosition): Awaitable<Step> {
		return withPage(this.#context.history.read(names, { after }, undefined), ({ reset }) => {
			if (reset !== undefined) this.#resetLate(reset)
		})
	}

	/** Finds where the newest messages of channels begin that a newcomer listens to later than to others. */
	#findLast(last: ReadonlyMap<string, number>): Awaitable<Step> {
		return withPage(
			this.#context.history.read([...last.keys()], { last }, this.#least),
			({ entries, since }) => {
				for (const { channel, seq } of entries) {
					if (!this.#late.has(channel)) this.#late.set(channel, since?.get(channel) ?? seq - 1)
				}
				for (const [channel, seq] of since ?? []) if (last.has(channel)) this.#late.set(channel, seq)
			},
		)
	}

	/** A page of what the client has not had of late channels, up to the position it has of the others. */
	#readLate(): Awaitable<Step> {
		const at = this.#position
		if (at === undefined) return NOTHING
		const after = { epoch: at.epoch, seq: Math.min(...this.#late.values()) }
		const since = new Map(this.#late)
		return withPage(this.#context.history.read([...since.keys()], { after, since }, at), (page) => {
			if (this.#isOutdated) return
			if (page.reset === undefined) this.#writeLate(page, at)
			// The log lost its data: what is read next says so for all channels.
			else if (page.reset === 'epoch' || page.reset === 'future') this.#loseAll()
			else this.#resetLate(page.reset)
		})
	}

	#writeLate({ entries, upTo, more }: HistoryPage, at: LogPosition): void {
		let text = ''
		for (const entry of entries) {
			if (entry.seq > at.seq) break
			for (const [name, seq] of this.#late) this.#late.set(name, Math.max(seq, entry.seq))
			const id = formatLate(at, this.#late, this.#channels.keys())
			if (id === undefined) {
				this.#write(text)
				this.#resetLate('trimmed')
				return
			}
			if (this.#wants(entry)) text += withId(entry.payload, id)
		}
		this.#write(text)
		if (!more || upTo.seq >= at.seq) this.#late.clear()
		else for (const [name, seq] of this.#late) this.#late.set(name, Math.max(seq, upTo.seq))
	}

	/** A page of all channels. */
	#readPage(): Awaitable<Step> {
		const after = this.#position
		const start = this.#first ?? (after === undefined ? { last: 0 } : { after, since: this.#since })
		const names = [...this.#channels.keys()]
		// What was appended before this instance followed a channel it does not get live.
		return withPage(this.#context.history.read(names, start, this.#least), (page) => {
			if (this.#isOutdated) return
			if (page.reset !== undefined) this.#resetAt(page.upTo, page.reset)
			else this.#writePage(page)
		})
	}

	#writePage(page: HistoryPage): void {
		for (const [channel, seq] of page.since ?? []) this.#since.set(channel, seq)
		if (this.#first !== undefined && !this.#isNewest(page)) return
		const { entries, frame, hidden, upTo, more } = page
		const isWhole =
			entries.every(({ channel }) => this.#channels.has(channel)) &&
			hidden.every((entry) => this.#wants(entry))
		const { maxBuffer } = this.#stream.writer.settings
		if (isWhole && frame !== undefined && (frame.length <= maxBuffer || entries.length === 1))
			this.#send(frame)
		else if (this.#writeEntries(entries, maxBuffer) < entries.length) return
		this.#position = upTo
		this.#first = undefined
		this.#wasReset = false
		this.#complete = !more
	}

	/**
	 * Whether a page of the newest messages has everything that came since the `listen`. If it has not, because more
	 * than the wanted number came meanwhile, what is read next begins early enough.
	 */
	#isNewest({ entries, upTo, more }: HistoryPage): boolean {
		const seqs = new Set(entries.map(({ seq }) => seq))
		const isWhole = this.#held.entries?.every(({ seq }) => seq > upTo.seq || seqs.has(seq)) === true
		if (isWhole && !more) return true
		for (const { channel, seq } of entries) {
			if (!this.#since.has(channel)) this.#since.set(channel, seq - 1)
		}
		for (const [channel, seq] of this.#listenedAt) {
			this.#since.set(channel, Math.min(this.#since.get(channel) ?? upTo.seq, seq))
		}
		if (isWhole) return true
		this.#first = undefined
		this.#position = { epoch: upTo.epoch, seq: Math.min(...this.#since.values()) }
		return false
	}

	/** Writes entries up to `maxBuffer` bytes. Returns how many were done; the next page begins behind them. */
	#writeEntries(entries: readonly LogEntry[], maxBuffer: number): number {
		const frames: Frame[] = []
		let bytes = 0
		let done = 0
		for (const entry of entries) {
			const frame = this.#wants(entry) ? frameOf(entry) : undefined
			if (frame !== undefined && bytes > 0 && bytes + frame.length > maxBuffer) break
			if (frame !== undefined) {
				frames.push(frame)
				bytes += frame.length
			}
			done++
		}
		if (frames.length > 0) this.#send(new Frame(frames))
		const last = entries[done - 1]
		if (done < entries.length && last !== undefined) this.#advanceWithin(entries, last)
		return done
	}

	/** Only a part of a page was written: what is read next begins behind it. */
	#advanceWithin(entries: readonly LogEntry[], last: LogEntry): void {
		// Of the newest messages that a newcomer asked for, each channel begins where the page says, not at the position.
		if (this.#first !== undefined) {
			for (const { channel, seq } of entries) {
				if (!this.#since.has(channel)) this.#since.set(channel, seq - 1)
			}
		}
		this.#position = { epoch: last.epoch, seq: last.seq }
		this.#first = undefined
	}

	/** What came live while pages were read. When nothing more is held the stream is told where it stands. */
	#writeHeld(): void {
		const at = this.#position
		const held = this.#held.take(at)
		if (at === undefined || held === undefined) {
			// It is not complete, or belongs to another epoch: the log knows.
			this.#complete = false
			return
		}
		const after = held.filter((entry) => entry.seq > at.seq && this.#isSince(entry) && this.#wants(entry))
		const last = held.at(-1)
		if (after.length > 0) this.#send(frameOfAll(after))
		if (last !== undefined && last.seq > at.seq) {
			this.#position = { epoch: last.epoch, seq: last.seq }
			this.#wasReset = false
			// The client may have to be waited for, and more may come meanwhile.
			if (this.#stream.writer.behind) return
		}
		this.#settle(this.#position ?? at)
	}

	#settle(position: LogPosition): void {
		if (this.#wasReset) this.#stream.told = position
		else this.#tell(position)
		this.#phase = 'settling'
		this.#over = this.#context.delivered?.epoch
		if (covers(this.#context.delivered, position)) this.#join()
	}

	#join(): void {
		// The run of this tick may hold entries that were in the pages.
		this.#context.flush()
		for (const channel of this.#channels.values()) {
			channel.replaying.delete(this.#stream.writer)
			if (!this.#stream.closed) channel.listeners.set(this.#stream.writer, this.#stream)
		}
		this.#channels.clear()
		this.#end()
	}

	#end(): void {
		// It may end early, because its channels were left: what was written counts all the same.
		if (this.holds) this.#stream.told = later(this.#stream.told, this.#position)
		this.#phase = 'done'
		if (this.#stream.replaying === this) this.#stream.replaying = undefined
	}

	/** Whether what is live now comes after what was written. */
	#isAfter(entry: LogEntry): boolean {
		const at = this.#position
		if (at === undefined) return true
		return entry.epoch === at.epoch ? entry.seq > at.seq : entry.epoch !== this.#over
	}

	#wants(entry: LogEntry): boolean {
		return this.#channels.has(entry.channel) && this.#context.mayGet(this.#stream, entry)
	}

	#isSince({ channel, seq }: LogEntry): boolean {
		return seq > (this.#since.get(channel) ?? 0)
	}

	/** Up to here pages must reach: what comes later this instance gets live on all channels. */
	get #least(): LogPosition | undefined {
		let least = this.#context.delivered
		for (const channel of this.#channels.values()) least = later(least, this.#sinceOf(channel))
		return least
	}

	#sinceOf({ since }: Channel): LogPosition | undefined {
		return since instanceof Promise ? undefined : since
	}

	#resetAtHead(reason: ResetReason): Awaitable<Step> {
		const names = [...this.#channels.keys()]
		return withPage(this.#context.history.read(names, { last: 0 }, this.#least), ({ upTo }) => {
			this.#resetAt(upTo, reason)
		})
	}

	/** Everything up to `position` is given up; what comes after it is not. */
	#resetAt(position: LogPosition, reason: ResetReason): void {
		this.#late.clear()
		this.#since.clear()
		this.#first = undefined
		this.#position = position
		this.#complete = true
		this.#sendReset(reason)
	}

	#loseAll(): void {
		this.#late.clear()
		this.#complete = false
	}

	/** What the client has not had of late channels is given up; the others go on where they are. */
	#resetLate(reason: ResetReason): void {
		this.#late.clear()
		this.#sendReset(reason)
	}

	#sendReset(reason: ResetReason): void {
		this.#context.count('resets')
		this.#send(resetFrame(this.#position, reason))
		restartAt(this.#stream, this.#position)
		this.#wasReset = true
	}

	#tell(position: LogPosition): void {
		this.#stream.told = position
		this.#send(positionFrame(position))
	}

	#write(text: string): void {
		if (text !== '') this.#send(new Frame(text))
	}

	#send(frame: Frame): void {
		this.#stream.writer.writeCorked(frame, now())
	}

	/** The log could not be read: the client comes back to where it was, or to another instance. */
	#fail(error: unknown): void {
		if (this.#stream.closed) return
		this.#context.onError(error)
		this.#stream.end('failed', null)
	}
}

/** Has a page written once it is there. */
function withPage(page: Awaitable<HistoryPage>, write: (page: HistoryPage) => void): Awaitable<Step> {
	return page instanceof Promise ? page.then((read) => () => write(read)) : () => write(page)
}

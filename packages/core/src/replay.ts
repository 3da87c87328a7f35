import { callBack } from './callbacks.js'
import type { Channel, Replaying, Subscriber } from './channel.js'
import { HeldEntries } from './held-entries.js'
import type { LogEntry, LogPosition } from './log.js'
import { NewestMessages } from './newest-messages.js'
import { covers, later } from './position.js'
import { ReplayAdmission } from './replay-admission.js'
import type { ReplayContext, Step } from './replay-context.js'
import { ReplayCursor } from './replay-cursor.js'
import { ReplayOutput } from './replay-output.js'
import { ReplayPages } from './replay-pages.js'
import { atEndOfTick, type TickWork } from './tick.js'
import { nextTurn } from './turn.js'

/** A replay leaves the event loop to others after this time, in ms. */
const SLICE = 4

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
 * While it reads and settles it `holds`: only it writes frames with an id to the stream, which is a listener of none
 * of its channels. So ids rise, and none passes a message that was not written. It writes only when the client is not
 * behind, so it is never what makes a client slow.
 *
 * This class decides when: when to collect, read, hold, settle and join. What to read is decided by `ReplayAdmission`
 * (where each channel begins) and `ReplayPages` (what comes next), which move one `ReplayCursor` and write through one
 * `ReplayOutput`.
 *
 * A page says up to where it is complete (`upTo`). What was held and lies after that follows; what is delivered later
 * but lies before it is skipped. With the in-memory log a short replay happens at the end of the tick.
 */
export class Replay implements Replaying, TickWork {
	readonly #context: ReplayContext
	readonly #stream: Subscriber
	#phase: Phase = 'collecting'
	/** Some channel was up to date when it was added, and the client has yet to be told its position. */
	#began = false
	readonly #cursor = new ReplayCursor()
	readonly #newest = new NewestMessages()
	readonly #held = new HeldEntries()
	readonly #output: ReplayOutput
	readonly #admission: ReplayAdmission
	readonly #pages: ReplayPages
	#sliceEnd = 0
	/** What had been delivered here when it was made. */
	readonly #deliveredBefore: LogPosition | undefined

	constructor(context: ReplayContext, stream: Subscriber) {
		this.#context = context
		this.#stream = stream
		this.#output = new ReplayOutput(context, stream, this.#cursor)
		this.#admission = new ReplayAdmission(context, stream, this.#cursor, this.#newest, this.#output)
		this.#pages = new ReplayPages(context, this.#cursor, this.#newest, this.#held, this.#output)
		this.#deliveredBefore = context.delivered
		atEndOfTick(this)
	}

	get holds(): boolean {
		return this.#phase === 'reading' || this.#phase === 'settling'
	}

	get position(): LogPosition | undefined {
		return this.#cursor.position
	}

	add(channel: Channel, last: number): void {
		const { writer } = this.#stream
		if (last === 0 && this.#mayBegin(channel)) {
			// There is nothing to replay: the stream is a listener from here on.
			channel.listeners.set(writer, this.#stream)
			this.#began = true
			return
		}
		if (this.#phase === 'settling') this.#resume()
		// A live stream holds from here on: what is sent next must not pass what it is owed of this channel. But not while
		// messages are being written: those come first.
		const isLive = this.#began || this.#stream.told !== undefined
		if (this.#phase === 'collecting' && isLive) callBack(() => this.#holdIfAdded())
		this.#admission.add(channel, { last, from: this.#context.delivered })
		channel.replaying.set(writer, this)
	}

	positionOf(channel: Channel): LogPosition | undefined {
		return this.#admission.has(channel) ? undefined : this.#cursor.positionOf(channel.name)
	}

	leave(channel: Channel): void {
		this.#cursor.leave(channel.name)
		this.#newest.leave(channel.name)
		this.#admission.leave(channel)
		this.#held.drop(channel.name)
		channel.replaying.delete(this.#stream.writer)
	}

	live(entry: LogEntry): void {
		const at = this.#cursor.position
		if (this.#phase !== 'settling') this.#held.push(entry)
		else if (entry.epoch !== at?.epoch) this.#readAgain()
		else if (entry.seq > at.seq) this.#join()
	}

	caughtUp(): void {
		if (this.#phase === 'settling' && covers(this.#context.delivered, this.#cursor.position)) this.#join()
	}

	gap(position: LogPosition): void {
		if (this.#phase !== 'settling') this.#held.incomplete()
		else if (!covers(this.#cursor.position, position)) this.#readAgain()
	}

	endTick(): void {
		if (this.#phase === 'done') return
		this.#context.flush()
		if (this.#stream.closed) this.#end()
		else if (this.#admission.size > 0) {
			if (this.#phase === 'collecting') this.#hold()
			this.#start()
		} else if (this.#phase === 'reading') this.#start()
		else {
			const position = this.#began ? this.#context.positionOf(this.#stream) : undefined
			if (position !== undefined) this.#output.tell(position)
			this.#end()
		}
	}

	/** Nothing of this channel or of one before it has to be replayed: the client came without a position. */
	#mayBegin({ certainSince }: Channel): boolean {
		if (this.#phase !== 'collecting' || this.#admission.size > 0) return false
		return this.#stream.lastEventId === undefined && covers(this.#context.delivered, certainSince)
	}

	#holdIfAdded(): void {
		if (this.#phase !== 'collecting' || this.#admission.size === 0 || this.#stream.closed) return
		this.#context.flush()
		if (!this.#stream.closed) this.#hold()
	}

	/** From here on only the replay writes frames with an id to the stream. */
	#hold(): void {
		const { writer, channels, told } = this.#stream
		this.#phase = 'reading'
		const live = channels.filter((channel) => channel.listeners.delete(writer))
		// A stream that was told its position, or was written to since, has everything up to here.
		const wasLive = told !== undefined || (this.#began && this.#context.delivered !== this.#deliveredBefore)
		const position = wasLive ? this.#context.positionOf(this.#stream) : undefined
		if (position !== undefined) this.#cursor.moveTo(position)
		this.#cursor.complete = wasLive && live.length > 0
		for (const channel of live) {
			channel.replaying.set(writer, this)
			if (wasLive) this.#cursor.channels.set(channel.name, channel)
			else this.#admission.add(channel, { last: 0, from: this.#deliveredBefore })
		}
	}

	#start(): void {
		this.#sliceEnd = performance.now() + SLICE
		this.#catchUp().catch((error: unknown) => this.#fail(error))
	}

	/** A channel was added while it settles: it reads that. Nothing after the position was delivered yet. */
	#resume(): void {
		this.#phase = 'reading'
		this.#cursor.complete = true
		this.#held.clear()
		atEndOfTick({ endTick: () => this.#start() })
	}

	/** What this instance delivers does not follow the pages: only the log knows what comes next. */
	#readAgain(): void {
		this.#resume()
		this.#cursor.complete = false
	}

	/**
	 * Reads what comes next, and writes it when the client has taken what was before: so what a newcomer gets is
	 * decided when it comes. Awaits only what is not there yet: with the in-memory log a short replay is over when this
	 * returns.
	 */
	async #catchUp(): Promise<void> {
		const { writer } = this.#stream
		while (this.#isWanted) {
			const admits = this.#admission.size > 0
			const isFirst = this.#newest.start !== undefined
			const step = admits ? this.#admission.next() : (this.#pages.next() ?? this.#writeHeld)
			const write = step instanceof Promise ? await step : step
			// The newest messages are those of now, not of when the client has taken what was before.
			if (admits && this.#newest.start !== undefined) continue
			while (writer.behind) await writer.drained()
			if (performance.now() > this.#sliceEnd) {
				await nextTurn()
				while (writer.behind) await writer.drained()
				this.#sliceEnd = performance.now() + SLICE
			}
			// What was read must not pass what the client is owed of a channel that was added meanwhile. But the newest messages
			// are those of when they were asked for, unless all their channels were left.
			const isStillFirst = isFirst && this.#newest.start !== undefined
			if (this.#isWanted && (admits || isStillFirst || this.#admission.size === 0)) write()
		}
		if (this.#phase === 'reading') this.#end()
	}

	get #isWanted(): boolean {
		return (
			this.#phase === 'reading' &&
			this.#cursor.channels.size + this.#admission.size > 0 &&
			!this.#stream.closed
		)
	}

	/** Writes what came live while pages were read. When nothing more is held, it settles. */
	readonly #writeHeld: Step = () => {
		const { position: at } = this.#cursor
		const held = at === undefined ? undefined : this.#held.take(at)
		if (at === undefined || held === undefined) {
			// It is not complete, or belongs to another epoch: the log knows.
			this.#cursor.complete = false
			return
		}
		this.#output.writeAll(
			held.filter(({ channel, seq }) => seq > at.seq && this.#cursor.isSince(channel, seq)),
		)
		const last = held.at(-1)
		if (last !== undefined && last.seq > at.seq) this.#cursor.moveTo(last)
		// The client may be behind now, and more may come before it has taken this.
		if (this.#stream.writer.behind) return
		// A filter that was asked may have sent, or listened.
		if (this.#held.isEmpty && this.#admission.size === 0) this.#settle(this.#cursor.position ?? at)
	}

	#settle(position: LogPosition): void {
		this.#output.tell(position)
		this.#phase = 'settling'
		if (covers(this.#context.delivered, position)) this.#join()
	}

	#join(): void {
		// The run of this tick may hold entries that were in the pages.
		this.#context.flush()
		for (const channel of this.#cursor.channels.values()) {
			channel.replaying.delete(this.#stream.writer)
			if (!this.#stream.closed) channel.listeners.set(this.#stream.writer, this.#stream)
		}
		this.#cursor.channels.clear()
		this.#end()
	}

	#end(): void {
		// It may end early, because its channels were left: what was written counts all the same.
		const { told } = this.#stream
		const { position } = this.#cursor
		if (this.holds) this.#stream.told = later(told, position, position?.epoch)
		this.#phase = 'done'
		if (this.#stream.replaying === this) this.#stream.replaying = undefined
	}

	/** The log could not be read: the client comes back to where it was, or to another instance. */
	#fail(error: unknown): void {
		if (this.#stream.closed) return
		this.#context.onError(error)
		this.#stream.end('failed', null)
	}
}

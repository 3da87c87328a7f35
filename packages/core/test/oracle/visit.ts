import { createParser, type EventSourceParser } from 'eventsource-parser'
import type { EvCloseReason, EvManagedStream } from '../../src/index.js'
import type { Book } from './book.js'
import type { Clock } from './clock.js'
import type { Link, Listener } from './links.js'
import type { Random } from './random.js'
import { OVERHEAD } from './sent.js'
import type { ClientPlan } from './world.js'

/** A turn of the library is two immediates, and what this and the one before it bring is fresh. */
const FRESH = 4

/** One connection of a client, from both sides. */
export class Visit implements Listener {
	#link: Link | undefined
	stream: EvManagedStream | undefined
	/** The server answered without a stream: it was closing. */
	refused = false
	/** The client has left. */
	isCut = false
	over: 'clean' | 'broken' | undefined
	status: number | undefined
	/** It is being let in by `verify`. */
	isVerifying = false
	/** Reading it has been paused at any time. */
	wasPaused = false
	isPaused: boolean
	/** More was sent than it could have taken. */
	overloaded = false
	/** Why its stream may end. */
	readonly mayEnd: Set<EvCloseReason> = new Set()
	readonly ends: EvCloseReason[] = []
	aborts = 0
	/** How often it listened in a later tick than the first one. */
	lateListens = 0
	/** The last id that the client saw, on this visit or before. */
	lastEventId: string | undefined
	/** The largest output of {@link FRESH} turns after each other: what the library may take for fresh. */
	largestTurn = 0
	/** The largest output of two seconds after each other: what may wait for a compressor. */
	largestSeconds = 0
	#second = 0
	#secondBytes = 0
	#secondBefore = 0
	/** The output of the last turns, by their number. */
	readonly #turns = new Map<number, number>()
	#eventsLeft: number
	#bytesLeft: number
	#pauseAfter: number
	readonly #decoder = new TextDecoder()
	readonly #parser: EventSourceParser

	/** What its request said. */
	readonly cameWith: 'position' | 'nothing' | 'nonsense'

	constructor(
		readonly plan: ClientPlan,
		readonly name: string,
		readonly random: Random,
		readonly book: Book,
		readonly clock: Clock,
		readonly maxBuffer: number,
		lastEventId: string | undefined,
		readonly note: (text: string) => void,
	) {
		this.lastEventId = lastEventId
		this.cameWith =
			book.from === undefined
				? 'nothing'
				: book.from === -1 || Number.isNaN(book.from)
					? 'nonsense'
					: 'position'
		const { kind } = plan
		this.isPaused = kind === 'pipelined' || (kind === 'paused' && random.chance(0.5))
		this.wasPaused = this.isPaused || kind === 'slow'
		this.#eventsLeft = kind === 'cut' && random.chance(0.7) ? random.int(0, 25) : Number.POSITIVE_INFINITY
		this.#bytesLeft = kind === 'cut' && random.chance(0.5) ? random.int(0, 400_000) : Number.POSITIVE_INFINITY
		this.#pauseAfter = kind === 'paused' && !this.isPaused ? random.int(0, 5) : Number.POSITIVE_INFINITY
		this.#parser = createParser({
			onEvent: ({ event = 'message', id, data }) => this.#onEvent(event, id, data),
		})
	}

	/** A client that reads, sent no more than it could take: it must never be called slow. */
	get isStrict(): boolean {
		return !this.wasPaused && !this.overloaded && this.plan.kind !== 'steady'
	}

	/** Both sides are there, and the client reads. */
	get isLive(): boolean {
		return this.isOpen && !this.isPaused && !this.isCut && this.over === undefined
	}

	get isOpen(): boolean {
		return this.stream !== undefined && !this.stream.closed
	}

	/** The client needs nothing more of this visit. */
	get isFinished(): boolean {
		return this.isCut || this.over !== undefined
	}

	/** Its side of the connection. The app may have made the client leave already. */
	set link(link: Link) {
		this.#link = link
		if (this.isCut) link.cut()
	}

	/** A slow client takes its next piece. */
	readOn(): void {
		if (this.plan.kind === 'slow' && !this.isFinished) this.#link?.resume()
	}

	/** The app writes to the stream now. */
	wrote(size: number): void {
		const { turn } = this.clock
		if (this.book.owedBefore(turn) > this.maxBuffer / 2) this.overloaded = true
		this.#turns.set(turn, (this.#turns.get(turn) ?? 0) + size + OVERHEAD)
		let fresh = 0
		for (const [at, bytes] of this.#turns) {
			if (at > turn - FRESH) fresh += bytes
			else this.#turns.delete(at)
		}
		this.largestTurn = Math.max(this.largestTurn, fresh)
		const second = Math.floor(performance.now() / 1000)
		if (second !== this.#second) {
			this.#secondBefore = second === this.#second + 1 ? this.#secondBytes : 0
			this.#second = second
			this.#secondBytes = 0
		}
		this.#secondBytes += size + OVERHEAD
		this.largestSeconds = Math.max(this.largestSeconds, this.#secondBefore + this.#secondBytes)
	}

	pause(): void {
		this.wasPaused = true
		this.isPaused = true
		this.#link?.pause()
	}

	resume(): void {
		this.isPaused = false
		this.#link?.resume()
	}

	cut(why: string): void {
		if (this.isFinished) return
		this.note(`${this.name} is cut ${why}, with ${this.lastEventId}`)
		this.isCut = true
		this.mayEnd.add('disconnected')
		this.#link?.cut()
	}

	/** The seed is over: the client closes its connection, whatever became of the response. */
	leave(): void {
		this.cut('at the end')
		this.#link?.cut()
	}

	onHead(status: number): void {
		this.status = status
		this.clock.move()
	}

	onBytes(bytes: Uint8Array): void {
		if (this.isCut) return
		this.clock.move()
		const mine = bytes.subarray(0, Math.min(bytes.length, this.#bytesLeft))
		this.#bytesLeft -= bytes.length
		this.#parser.feed(this.#decoder.decode(mine, { stream: true }))
		if (this.#bytesLeft <= 0) this.cut('at a byte')
		const { kind } = this.plan
		if (kind === 'slow') this.#link?.pause()
		if (kind === 'steady') {
			this.#link?.pause()
			setTimeout(() => this.#link?.resume(), 4)
		}
	}

	onOver(clean: boolean): void {
		if (this.isCut || this.over !== undefined) return
		this.clock.move()
		this.over = clean ? 'clean' : 'broken'
		this.note(`${this.name} is over (${this.over})`)
	}

	#onEvent(event: string, id: string | undefined, data: string): void {
		if (this.isCut) return
		if (id !== undefined) this.lastEventId = id
		this.book.seen({ event, id, data })
		if (--this.#eventsLeft < 0) this.cut('at an event')
		if (--this.#pauseAfter < 0 && !this.wasPaused) {
			this.note(`${this.name} pauses`)
			this.pause()
		}
	}
}

import { drainStreams } from './shutdown.js'
import type { Stream } from './stream.js'
import { Timers } from './timers.js'
import type { EvCloseReason } from './types.js'

/** What the registry needs of its streams. */
interface Member extends Stream {
	readonly id: string
	readonly number: number
}

/** Something that is done for all streams again and again. */
interface Rounds {
	start(): void
	stop(): void
}

/** The streams of one manager: their ids, how many there may be, what is counted of them, and how they all end. */
export class StreamRegistry<S extends Member> {
	readonly timers: Timers = new Timers()
	/** Begins the id of every stream here. */
	readonly idPrefix: string
	/** Streams that were cut because the client was too slow. */
	slowDisconnects = 0
	readonly #most: number
	readonly #streams = new Map<number, S>()
	/** Streams that have ended, but whose response is not over. */
	readonly #ending = new Set<S>()
	#nextNumber = 1
	/** Runs while there are streams. */
	#rounds: Rounds | undefined

	/** Holds at most `most` streams. */
	constructor(idPrefix: string, most: number) {
		this.idPrefix = idPrefix
		this.#most = most
	}

	/** Streams that have not ended. */
	get size(): number {
		return this.#streams.size
	}

	/** Streams that have ended, and whose client has not taken the last bytes. */
	get ending(): number {
		return this.#ending.size
	}

	/** No stream may be added. One that has ended counts until its response is over. */
	get isFull(): boolean {
		return this.#streams.size + this.#ending.size >= this.#most
	}

	/** Bytes that wait for all clients. */
	get bufferedBytes(): number {
		let bytes = 0
		for (const stream of this.#streams.values()) bytes += stream.waiting
		for (const stream of this.#ending) bytes += stream.waiting
		return bytes
	}

	/** The streams that have not ended. */
	all(): IterableIterator<S> {
		return this.#streams.values()
	}

	nextNumber(): number {
		return this.#nextNumber++
	}

	idOf(number: number): string {
		return this.idPrefix + number.toString(36)
	}

	/** The stream with this id. */
	find(id: string): S | undefined {
		if (!id.startsWith(this.idPrefix)) return undefined
		const stream = this.#streams.get(Number.parseInt(id.slice(this.idPrefix.length), 36))
		// `parseInt` reads what only begins like a number.
		return stream?.id === id ? stream : undefined
	}

	/** Does something for all streams again and again while there are any. */
	whileBusy(rounds: Rounds): void {
		this.#rounds = rounds
	}

	add(stream: S): void {
		if (this.#streams.size === 0) this.#rounds?.start()
		this.#streams.set(stream.number, stream)
	}

	/** The stream has ended; its response may not be over. */
	ended(stream: S, reason: EvCloseReason): void {
		if (this.#streams.delete(stream.number) && this.#streams.size === 0) this.#rounds?.stop()
		this.#ending.add(stream)
		if (reason === 'slow' || reason === 'stalled') this.slowDisconnects++
	}

	/** The response of a stream that has ended is over. */
	responseClosed(stream: S): void {
		this.#ending.delete(stream)
	}

	/** Ends all streams over `drainMs`. Resolves when every response is over. */
	drain(drainMs: number): Promise<void> {
		return drainStreams([...this.#streams.values()], this.#ending, this.timers, drainMs)
	}
}

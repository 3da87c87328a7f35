import { EvClosedError, EvUnavailableError, type LogPosition } from '@evstream/core'
import { outsideContext } from './context.js'
import { TimeSlice } from './time-slice.js'

/** A message on its way to Redis. */
export interface Outgoing {
	readonly channel: string
	readonly payload: string
	readonly except: string
}

interface Waiting extends Outgoing {
	readonly since: number
	readonly accept: (position: LogPosition) => void
	readonly refuse: (error: unknown) => void
}

/** How an outbox publishes. */
export interface Publisher {
	/** Commands go through now, or are refused at once. */
	ready(): boolean
	/**
	 * Publishes a batch, once however often it is sent and after those that were given before it; returns the position
	 * of its first message.
	 */
	publish(batch: readonly Outgoing[], deadlineMs: number): Promise<LogPosition>
}

/** The most messages of one script call: Redis does nothing else while it runs. */
const BATCH = 512
/** The most characters of one script call, unless it is one message. */
const BATCH_LENGTH = 1_048_576
/** The most batches, messages and characters without an answer. */
const IN_FLIGHT = { batches: 16, messages: 4_096, length: 4 * 1_048_576 }
/** How long a batch that is not full waits while others have no answer yet, in ms. */
const PACE = 2
/** How many overdue messages are refused before the time is looked at. */
const REFUSED = 256
/** The most messages, and characters, that wait while Redis is away. */
const LIMIT = 100_000
const LENGTH_LIMIT = 64 * 1_048_576

/**
 * Messages in the order in which they were sent, folded into batches. A batch goes out at once if none is without an
 * answer or if it is full, else after a moment: so a single message does not wait, a near Redis gets large batches, and
 * the throughput to a distant one is not bounded by its round trips.
 *
 * A batch is made only when Redis is there. What waits longer than the deadline before that was never sent, and is
 * refused. What was sent gets at least half of the deadline for its answer.
 */
export class Outbox {
	readonly #publisher: Publisher
	readonly #deadline: number
	#waiting: Waiting[] = []
	#length = 0
	readonly #inFlight = { batches: 0, messages: 0, length: 0 }
	#sentAt = Number.NEGATIVE_INFINITY
	/** How many messages may be without an answer: a slow Redis gets few, so that none misses its deadline in the queue. */
	#window = BATCH
	#closed = false
	#scheduled = false
	/** Overdue messages are being refused; nothing else happens to the queue until that is done. */
	#refusing = false
	#timer: NodeJS.Timeout | undefined
	#onEmpty: (() => void) | undefined

	constructor(publisher: Publisher, deadlineMs: number) {
		this.#publisher = publisher
		this.#deadline = deadlineMs
	}

	/** Messages that wait. */
	get size(): number {
		return this.#waiting.length
	}

	/** Takes a message; resolves with its position. */
	send(message: Outgoing): Promise<LogPosition> {
		if (this.#closed) return Promise.reject(new EvClosedError('The log'))
		if (this.#waiting.length >= LIMIT || this.#length >= LENGTH_LIMIT) {
			return Promise.reject(
				new EvUnavailableError(`${this.#waiting.length} messages wait for Redis. Send less, or later.`),
			)
		}
		return new Promise((accept, refuse) => {
			const { channel, payload, except } = message
			this.#waiting.push({ channel, payload, except, since: performance.now(), accept, refuse })
			this.#length += payload.length
			this.#schedule()
		})
	}

	/** Redis may be there again. */
	wake(): void {
		this.#schedule()
	}

	/**
	 * Takes no more. What waits is sent, or refused at its deadline.
	 *
	 * @param onEmpty - Called once, when nothing waits and every batch has its answer.
	 */
	close(onEmpty: () => void): void {
		this.#closed = true
		this.#onEmpty = onEmpty
		this.#endIfEmpty()
	}

	#endIfEmpty(): void {
		if (this.#waiting.length > 0 || this.#inFlight.batches > 0) return
		clearTimeout(this.#timer)
		this.#onEmpty?.()
		this.#onEmpty = undefined
	}

	/** Everything one turn of the event loop sends goes into one batch. */
	#schedule(): void {
		if (this.#scheduled) return
		this.#scheduled = true
		outsideContext(() =>
			queueMicrotask(() => {
				this.#scheduled = false
				this.#flush()
			}),
		)
	}

	#flush(): void {
		if (this.#refusing) return
		if (this.#hasOverdue) {
			void outsideContext(() => this.#refuseOverdue())
			return
		}
		while (this.#waiting.length > 0 && this.#publisher.ready()) {
			const size = this.#batchSize()
			if (!this.#mayGo(size)) break
			void this.#publish(this.#take(size))
		}
		this.#arm()
		this.#endIfEmpty()
	}

	#mayGo(size: number): boolean {
		const { batches, messages, length } = this.#inFlight
		if (batches === 0) return true
		if (batches === IN_FLIGHT.batches || messages + size > this.#window) return false
		if (length >= IN_FLIGHT.length) return false
		return size < this.#waiting.length || size === BATCH || performance.now() - this.#sentAt >= PACE
	}

	async #publish(batch: readonly Waiting[]): Promise<void> {
		const inFlight = this.#inFlight
		const length = lengthOf(batch)
		inFlight.batches++
		inFlight.messages += batch.length
		inFlight.length += length
		const sentAt = performance.now()
		this.#sentAt = sentAt
		const usesWindow = inFlight.messages * 2 >= this.#window
		try {
			// What was sent cannot be called back. To give it only what a full queue left over would refuse, one after
			// the other, batches that Redis accepts, and never catch up.
			const left = this.#deadline - (sentAt - (batch.at(-1)?.since ?? sentAt))
			const { epoch, seq } = await this.#publisher.publish(batch, Math.max(left, this.#deadline / 2))
			for (const [index, { accept }] of batch.entries()) accept({ epoch, seq: seq + index })
		} catch (error) {
			for (const { refuse } of batch) refuse(error)
		}
		this.#adapt(performance.now() - sentAt, usesWindow)
		inFlight.batches--
		inFlight.messages -= batch.length
		inFlight.length -= length
		this.#flush()
	}

	#adapt(answerMs: number, usesWindow: boolean): void {
		if (answerMs > this.#deadline / 4) this.#window = Math.max(BATCH, this.#window / 2)
		else if (usesWindow && answerMs < this.#deadline / 8)
			this.#window = Math.min(IN_FLIGHT.messages, this.#window * 2)
	}

	#batchSize(): number {
		let length = 0
		let size = 0
		for (const { payload } of this.#waiting) {
			length += payload.length
			if (size > 0 && (size === BATCH || length > BATCH_LENGTH)) break
			size++
		}
		return size
	}

	#take(count: number): Waiting[] {
		const taken = this.#waiting.splice(0, count)
		this.#length -= lengthOf(taken)
		return taken
	}

	get #hasOverdue(): boolean {
		const [first] = this.#waiting
		return first !== undefined && performance.now() - first.since >= this.#deadline
	}

	/** Refuses in slices: to settle 100,000 promises at once would stop the event loop for half a second. */
	async #refuseOverdue(): Promise<void> {
		this.#refusing = true
		const slice = new TimeSlice()
		while (this.#hasOverdue) {
			for (const { refuse } of this.#takeOverdue()) refuse(this.#overdue())
			// The reactions of the callers run before the next step and count too.
			await Promise.resolve()
			if (slice.isOver) await slice.next()
		}
		this.#refusing = false
		this.#flush()
	}

	/** A few messages whose deadline has passed, the oldest first. */
	#takeOverdue(): Waiting[] {
		const oldest = performance.now() - this.#deadline
		let count = 0
		for (const { since } of this.#waiting) {
			if (since > oldest || count === REFUSED) break
			count++
		}
		return this.#take(count)
	}

	#overdue(): Error {
		if (this.#closed) return new EvClosedError('The log')
		return new EvUnavailableError(`The message waited ${this.#deadline} ms for Redis and was not sent.`)
	}

	/** Looks again when the next batch may go, or when the first message is overdue. */
	#arm(): void {
		const first = this.#waiting[0]
		clearTimeout(this.#timer)
		if (first === undefined) return
		const now = performance.now()
		const overdue = this.#deadline - (now - first.since) + 1
		const pace = this.#inFlight.batches > 0 ? PACE - (now - this.#sentAt) : 0
		const wait = pace > 0 ? Math.min(pace, overdue) : overdue
		this.#timer = outsideContext(() => setTimeout(() => this.#flush(), Math.max(wait, 1)).unref())
	}
}

function lengthOf(batch: readonly Outgoing[]): number {
	let length = 0
	for (const { payload } of batch) length += payload.length
	return length
}

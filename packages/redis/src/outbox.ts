import { EvClosedError, EvUnavailableError, type LogPosition } from '@evstream/core'
import { outsideContext } from './context.js'

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
	/** Commands go through now. */
	ready(): boolean
	/** Publishes a batch, once however often it is sent; gives the position of its first message. */
	publish(batch: readonly Outgoing[], deadlineMs: number): Promise<LogPosition>
}

/** The most messages of one script call: Redis does nothing else while it runs. */
const BATCH = 512
/** The most characters of one script call, unless it is one message. */
const BATCH_LENGTH = 1_048_576
/** The most messages, and characters, that wait while Redis is away. */
const LIMIT = 100_000
const LENGTH_LIMIT = 64 * 1_048_576

/**
 * Messages in the order in which they were sent, folded into batches: one batch is on its way, everything that came
 * meanwhile goes into the next. So order needs no other care, and the throughput does not fall to one message for
 * each round trip.
 *
 * A batch is made only when Redis is there. What waits longer than the deadline before that was never sent, and is
 * refused. What was sent gets at least half of the deadline for its answer.
 */
export class Outbox {
	readonly #publisher: Publisher
	readonly #deadline: number
	#waiting: Waiting[] = []
	#length = 0
	#busy = false
	#closed = false
	#scheduled = false
	#timer: NodeJS.Timeout | undefined

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
			this.#waiting.push({ ...message, since: performance.now(), accept, refuse })
			this.#length += message.payload.length
			this.#schedule()
		})
	}

	/** Redis may be there again. */
	wake(): void {
		this.#schedule()
	}

	/** Refuses everything that was not sent. */
	close(): void {
		this.#closed = true
		clearTimeout(this.#timer)
		const waiting = this.#take(this.#waiting.length)
		for (const { refuse } of waiting) refuse(new EvClosedError('The log'))
	}

	/** Everything one turn of the event loop sends goes into one batch. */
	#schedule(): void {
		if (this.#scheduled || this.#busy) return
		this.#scheduled = true
		outsideContext(() =>
			queueMicrotask(() => {
				this.#scheduled = false
				void this.#flush()
			}),
		)
	}

	async #flush(): Promise<void> {
		if (this.#busy) return
		this.#busy = true
		for (;;) {
			this.#refuseOverdue()
			if (this.#waiting.length === 0 || !this.#publisher.ready()) break
			// A function of its own: the frame of this loop, which may run for hours, would keep the messages of one
			// batch, and the stores of their senders, until the answer to the next one.
			await this.#publishBatch()
		}
		this.#busy = false
		this.#arm()
	}

	async #publishBatch(): Promise<void> {
		const batch = this.#take(this.#batchSize())
		const since = batch.at(-1)?.since ?? performance.now()
		try {
			// What was sent cannot be called back. To give it only what a full queue left over would refuse, one after
			// the other, batches that Redis accepts, and never catch up.
			const left = this.#deadline - (performance.now() - since)
			const first = await this.#publisher.publish(batch, Math.max(left, this.#deadline / 2))
			for (const [index, { accept }] of batch.entries()) {
				accept({ epoch: first.epoch, seq: first.seq + index })
			}
		} catch (error) {
			for (const { refuse } of batch) refuse(error)
		}
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
		for (const { payload } of taken) this.#length -= payload.length
		return taken
	}

	#refuseOverdue(): void {
		const oldest = performance.now() - this.#deadline
		const overdue = this.#waiting.findIndex(({ since }) => since > oldest)
		for (const { refuse } of this.#take(overdue < 0 ? this.#waiting.length : overdue)) {
			refuse(new EvUnavailableError(`The message waited ${this.#deadline} ms for Redis and was not sent.`))
		}
	}

	/** While Redis is away, what waits is refused at its deadline. */
	#arm(): void {
		clearTimeout(this.#timer)
		const first = this.#waiting[0]
		if (first === undefined) return
		const left = this.#deadline - (performance.now() - first.since)
		this.#timer = setTimeout(() => void this.#flush(), Math.max(left + 1, 1)).unref()
	}
}

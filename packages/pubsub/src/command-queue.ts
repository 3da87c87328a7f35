import { EvClosedError, EvUnavailableError } from '@evstream/core'
import { afterReading } from './after-reading.js'
import { checkMs } from './check-ms.js'
import { type CommandLane, type Job, Lane } from './command-lane.js'
import { type CommandConnection, CommandLink } from './command-link.js'
import { wake } from './connections.js'
import { keepContext, outsideContext } from './context.js'
import { isReadOnlyError } from './refusal.js'

/** Who is told what the queue finds out. */
export interface QueueEvents {
	/** A command failed with this error. */
	onError(error: unknown): void
	/** An answer is due and nothing has arrived for too long. */
	onSilence(): void
	/** Commands need not wait any more. */
	onResume(): void
}

/** How many commands start in one turn of the event loop after an outage. */
const SLICE = 256
/** How long a command waits that the server refused for now, in ms, unless the client becomes ready earlier. */
const AGAIN_MS = 250

/**
 * Runs commands, each with a deadline. While the client is not ready they wait here and not in the client, whose own
 * queue has no bound and would still send what its caller has long given up.
 *
 * Each user has a lane with its own limit, and after an outage the lanes take turns, so that a user with ten thousand
 * commands refuses and delays nobody else's.
 */
export class CommandQueue {
	readonly link: CommandLink
	readonly #retryReadOnly: boolean
	readonly #events: QueueEvents
	/** Those with a command that is not settled: users come and go. */
	readonly #lanes = new Set<Lane>()
	#numbers = 0
	#closed = false
	#slice: NodeJS.Immediate | undefined
	#again: NodeJS.Timeout | undefined
	#onIdle: (() => void) | undefined

	constructor(connections: CommandConnection, events: QueueEvents) {
		this.#retryReadOnly = connections.owned
		this.#events = events
		this.link = new CommandLink(connections, {
			onReady: () => {
				this.#flush()
				events.onResume()
			},
			onLost: () => this.#lose(),
			onEnd: () => this.#refuseWaiting(),
			onSilence: events.onSilence,
		})
	}

	/** How many commands of all lanes have no answer yet. */
	get pending(): number {
		return this.#count(({ pending }) => pending)
	}

	/** Commands would be refused at once, for good. */
	get isClosed(): boolean {
		return this.#closed || this.link.isEnded
	}

	/** @param limit How many of its commands may be without an answer at a time. */
	lane(limit: number): CommandLane {
		return new Lane(limit, (lane, command, deadlineMs) => this.#run(lane, command, deadlineMs))
	}

	/** Refuses what waits, and gives what was sent `graceMs` to be answered. */
	async close(graceMs: number): Promise<void> {
		this.#closed = true
		clearTimeout(this.#again)
		clearImmediate(this.#slice)
		this.#refuseWaiting()
		if (this.#running > 0 && this.link.isReady) {
			await new Promise<void>((resolve) => {
				const timer = setTimeout(resolve, graceMs)
				this.#onIdle = () => {
					clearTimeout(timer)
					resolve()
				}
			})
		}
		for (const lane of this.#lanes) for (const job of lane.running) job.fail(this.#closedError())
		this.link.close()
	}

	#run<T>(lane: Lane, command: () => Promise<T>, deadlineMs: number): Promise<T> {
		if (this.isClosed) return Promise.reject(this.#closedError())
		if (lane.pending >= lane.limit) {
			return Promise.reject(
				new EvUnavailableError(`${lane.limit} commands already wait for an answer of Redis.`),
			)
		}
		return new Promise((resolve, reject) => {
			checkMs('deadlineMs', deadlineMs)
			const due = performance.now() + deadlineMs
			let refusal: unknown
			// An answer to an earlier attempt is not an answer to this one.
			let attempt: object | undefined
			const settle = (): void => {
				clearTimeout(timer)
				attempt = undefined
				lane.waiting.delete(job)
				lane.running.delete(job)
				if (lane.pending === 0) this.#lanes.delete(lane)
				if (this.#running === 0) this.#onIdle?.()
			}
			const overdue = (): void => {
				if (this.link.isEnded) {
					job.fail(this.#closedError())
					return
				}
				const unsent = refusal === undefined ? 'could not be reached' : 'took no write'
				const what = lane.running.has(job) ? 'did not answer' : unsent
				job.fail(
					new EvUnavailableError(`Redis ${what} within ${Math.ceil(deadlineMs)} ms.`, { cause: refusal }),
				)
			}
			// It may be run from an event of the client, and more than once.
			const inContext = keepContext(command)
			const job: Job = {
				number: ++this.#numbers,
				start: () => {
					if (performance.now() >= due) {
						overdue()
						return
					}
					lane.waiting.delete(job)
					lane.running.add(job)
					const own = {}
					attempt = own
					const done = this.link.sending()
					invoke(inContext).then(
						(value) => {
							done()
							if (attempt !== own) return
							settle()
							resolve(value)
						},
						(error: unknown) => {
							done()
							this.#events.onError(error)
							if (attempt !== own) return
							if (this.#mayRunAgain(error)) {
								if (isReadOnlyError(error)) refusal = error
								this.#putBack(lane, job)
								return
							}
							settle()
							reject(this.isClosed && isLost(error) ? this.#closedError() : explain(error))
						},
					)
				},
				lose: () => {
					attempt = undefined
					if (this.#closed) job.fail(this.#closedError())
					else this.#putBack(lane, job)
				},
				fail: (error) => {
					settle()
					reject(error)
				},
			}
			const timer = setTimeout(() => {
				afterReading(this.link.received, () => {
					if (lane.waiting.has(job) || lane.running.has(job)) overdue()
				})
			}, deadlineMs)
			timer.unref()
			this.#lanes.add(lane)
			// Those that wait go first, even if the client became ready in this very tick.
			if (this.link.isReady && lane.waiting.size === 0) job.start()
			else {
				lane.waiting.add(job)
				wake(this.link.client)
			}
		})
	}

	/** The command was not executed, or its answer is lost with the connection: it runs again within its deadline. */
	#mayRunAgain(error: unknown): boolean {
		return !this.isClosed && (isLost(error) || (this.#retryReadOnly && isReadOnlyError(error)))
	}

	#putBack(lane: Lane, job: Job): void {
		lane.running.delete(job)
		lane.waiting.add(job)
		lane.isSorted = false
		// After a lost connection 'ready' comes; a server that refused, or a node of a Cluster, may be back without it.
		this.#again ??= outsideContext(() =>
			setTimeout(() => {
				this.#again = undefined
				this.#flush()
			}, AGAIN_MS).unref(),
		)
	}

	#lose(): void {
		for (const lane of this.#lanes) for (const job of [...lane.running]) job.lose()
	}

	#refuseWaiting(): void {
		for (const lane of this.#lanes) for (const job of [...lane.waiting]) job.fail(this.#closedError())
		this.#events.onResume()
	}

	/** Starts what waits, one command of each lane in turn. */
	#flush(): void {
		clearImmediate(this.#slice)
		this.#slice = undefined
		for (let left = SLICE; this.link.isReady && this.#waiting > 0; ) {
			for (const lane of this.#lanes) {
				lane.startNext()
				left--
			}
			if (left > 0) continue
			this.#slice = setImmediate(() => this.#flush())
			return
		}
	}

	get #waiting(): number {
		return this.#count(({ waiting }) => waiting.size)
	}

	get #running(): number {
		return this.#count(({ running }) => running.size)
	}

	#count(of: (lane: Lane) => number): number {
		let count = 0
		for (const lane of this.#lanes) count += of(lane)
		return count
	}

	#closedError(): EvClosedError {
		return new EvClosedError(this.#closed ? 'The Redis bus' : 'The Redis client')
	}
}

async function invoke<T>(command: () => Promise<T>): Promise<T> {
	return command()
}

/** What ioredis says of a command that it did not send, because it must not queue it (`enableOfflineQueue: false`). */
const NOT_QUEUED = / enableOfflineQueue options is false$/

/** The error says that the connection failed, and not what Redis answered. */
function isLost(error: unknown): error is Error {
	if (!(error instanceof Error)) return false
	return (
		NOT_QUEUED.test(error.message) ||
		/^(Too many Cluster redirections\. Last error: Error: )?Connection is closed\.$/.test(error.message) ||
		['MaxRetriesPerRequestError', 'AbortError', 'ClusterAllFailedError'].includes(error.name)
	)
}

/** What says that the connection failed becomes `EV_UNAVAILABLE`; an answer of Redis stays what it is. */
function explain(error: unknown): unknown {
	return isLost(error) ? new EvUnavailableError('The connection to Redis was lost.', { cause: error }) : error
}

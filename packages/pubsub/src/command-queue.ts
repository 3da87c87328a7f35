import type { Cluster, Redis } from 'ioredis'
import { checkMs } from './check-ms.js'
import { isReadOnlyError, wake } from './connections.js'
import { keepContext } from './context.js'
import { EvClosedError, EvUnavailableError } from './errors.js'

interface Job {
	start(): void
	fail(error: Error): void
}

/**
 * Runs commands in order, each with a deadline. While the client is not ready they wait here and not in the
 * client, whose own queue has no bound and would still send what its caller has long given up.
 */
export class CommandQueue {
	readonly #client: Redis | Cluster
	readonly #retryReadOnly: boolean
	readonly #limit: number
	readonly #waiting = new Set<Job>()
	readonly #running = new Set<Job>()
	#closed = false
	#onIdle: (() => void) | undefined

	/**
	 * @param retryReadOnly The client reconnects on READONLY errors, so the command may try again.
	 * @param limit How many commands may be without an answer at a time.
	 */
	constructor(client: Redis | Cluster, retryReadOnly: boolean, limit: number) {
		this.#client = client
		this.#retryReadOnly = retryReadOnly
		this.#limit = limit
		client.on('ready', this.#flush)
	}

	/** How many commands have no answer yet. */
	get pending(): number {
		return this.#waiting.size + this.#running.size
	}

	/** Runs the command now or once the client is ready. See `RedisBus.command` for how it fails. */
	run<T>(command: () => Promise<T>, deadlineMs: number): Promise<T> {
		if (this.#closed) return Promise.reject(new EvClosedError('The Redis bus'))
		if (this.#client.status === 'end') {
			return Promise.reject(new EvUnavailableError('The Redis client was closed and does not reconnect.'))
		}
		if (this.pending >= this.#limit) {
			return Promise.reject(
				new EvUnavailableError(`${this.#limit} commands already wait for an answer of Redis.`),
			)
		}
		return new Promise((resolve, reject) => {
			checkMs('deadlineMs', deadlineMs)
			const settle = (): void => {
				clearTimeout(timer)
				this.#waiting.delete(job)
				this.#running.delete(job)
				if (this.#running.size === 0) this.#onIdle?.()
			}
			// It may be run from an event of the client, and again after a READONLY answer.
			const inContext = keepContext(command)
			const job: Job = {
				start: () => {
					this.#running.add(job)
					invoke(inContext).then(
						(value) => {
							settle()
							resolve(value)
						},
						(error: unknown) => {
							// Its deadline has passed, or it was closed.
							if (!this.#running.delete(job)) return
							if (this.#retryReadOnly && isReadOnlyError(error) && !this.#closed) {
								this.#waiting.add(job)
								return
							}
							settle()
							reject(explain(error))
						},
					)
				},
				fail: (error) => {
					settle()
					reject(error)
				},
			}
			const timer = setTimeout(() => {
				const what = this.#waiting.has(job) ? 'could not be reached' : 'did not answer'
				job.fail(new EvUnavailableError(`Redis ${what} within ${deadlineMs} ms.`))
			}, deadlineMs)
			timer.unref()
			// Those that wait go first, even if the client became ready in this very tick.
			if (this.#client.status === 'ready' && this.#waiting.size === 0) job.start()
			else {
				this.#waiting.add(job)
				wake(this.#client)
			}
		})
	}

	/** Refuses what waits, and gives what was sent `graceMs` to be answered. */
	async close(graceMs: number): Promise<void> {
		this.#closed = true
		this.#client.off('ready', this.#flush)
		for (const job of this.#waiting) job.fail(new EvClosedError('The Redis bus'))
		if (this.#running.size > 0 && this.#client.status === 'ready') {
			await new Promise<void>((resolve) => {
				const timer = setTimeout(resolve, graceMs)
				this.#onIdle = () => {
					clearTimeout(timer)
					resolve()
				}
			})
		}
		for (const job of this.#running) job.fail(new EvClosedError('The Redis bus'))
	}

	readonly #flush = (): void => {
		const jobs = [...this.#waiting]
		this.#waiting.clear()
		for (const job of jobs) job.start()
	}
}

async function invoke<T>(command: () => Promise<T>): Promise<T> {
	return command()
}

/** What says that the connection failed becomes `EV_UNAVAILABLE`; an answer of Redis stays what it is. */
function explain(error: unknown): unknown {
	if (!(error instanceof Error)) return error
	const lost =
		error.message === 'Connection is closed.' ||
		['MaxRetriesPerRequestError', 'AbortError', 'ClusterAllFailedError'].includes(error.name)
	return lost ? new EvUnavailableError('The connection to Redis was lost.', { cause: error }) : error
}

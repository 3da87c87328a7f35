import { randomUUID } from 'node:crypto'
import { EvUnavailableError, type LogOptions, type LogPosition } from '@evstream/core'
import type { RedisBus } from '@evstream/pubsub'
import { channelRetention } from './channel-retention.js'
import type { RedisNames } from './keys.js'
import { KEEP, LogCommandError, type LogCommands, newEpoch } from './log-commands.js'
import { Outbox, type Outgoing } from './outbox.js'
import { BATCHES_KNOWN, PUBLISH } from './publish-script.js'

/** A batch without an outcome. */
interface Job {
	readonly number: number
	readonly settled: Promise<void>
}

/**
 * Sends the messages of one log to Redis. Batches overlap, and still arrive once and in order:
 *
 * - Each has a number. The log knows the last ones of each producer and applies none twice.
 * - Each names the one before it that has no outcome yet, and is not applied before that one.
 * - Each says until when the server may apply it, by the server's clock. So a copy that a client sends after the
 *   deadline, when the sender was told that the message was refused, publishes nothing.
 */
export class LogPublisher {
	readonly #names: RedisNames
	readonly #commands: LogCommands
	readonly #options: LogOptions
	readonly #outbox: Outbox
	readonly #producer = randomUUID().replaceAll('-', '').slice(0, 16)
	readonly #undo: () => void
	/** In the order of their numbers. */
	#jobs: Job[] = []
	#batch = 0
	#published = 0

	constructor(
		bus: RedisBus,
		names: RedisNames,
		commands: LogCommands,
		options: LogOptions,
		deadlineMs: number,
	) {
		this.#names = names
		this.#commands = commands
		this.#options = options
		this.#outbox = new Outbox(
			{
				// A client that was closed refuses at once.
				ready: () => !bus.waits && !this.#isFull(),
				publish: (batch, left) => this.#publish(batch, left),
			},
			deadlineMs,
		)
		this.#undo = bus.onResume(() => this.#outbox.wake())
	}

	/** Messages that Redis took. */
	get published(): number {
		return this.#published
	}

	/** Messages that wait. */
	get waiting(): number {
		return this.#outbox.size
	}

	/** Takes a message; resolves with its position. */
	append(channel: string, payload: string, except: string): Promise<LogPosition> {
		return this.#outbox.send({ channel, payload, except })
	}

	/** Takes no more. Resolves when everything has its outcome, at the latest when its deadline has passed. */
	close(): Promise<void> {
		return new Promise((resolve) => {
			this.#outbox.close(() => {
				this.#undo()
				resolve()
			})
		})
	}

	/** The log would not know the oldest batch any more after the next one. */
	#isFull(): boolean {
		const [oldest] = this.#jobs
		return oldest !== undefined && this.#batch + 1 - oldest.number >= BATCHES_KNOWN
	}

	async #publish(batch: readonly Outgoing[], deadlineMs: number): Promise<LogPosition> {
		const number = ++this.#batch
		const published = this.#run(number, batch, performance.now() + deadlineMs)
		const done = (): void => {
			this.#jobs = this.#jobs.filter((job) => job.number !== number)
		}
		this.#jobs.push({ number, settled: published.then(done, done) })
		return published
	}

	async #run(number: number, batch: readonly Outgoing[], deadline: number): Promise<LogPosition> {
		const { clock, head } = this.#commands
		const { keys, keep, tail } = this.#arguments(batch)
		for (;;) {
			let before: Job | undefined
			const args = (): readonly (string | number)[] => {
				before = this.#jobs.findLast((job) => job.number < number)
				return [newEpoch(), keep, this.#producer, number, before?.number ?? 0, clock.at(deadline), ...tail]
			}
			try {
				const left = Math.max(Math.ceil(deadline - performance.now()), 1)
				const position = this.#position(await this.#commands.run(PUBLISH, keys, args, left))
				head.note(position.epoch, position.seq + batch.length - 1)
				this.#published += batch.length
				return position
			} catch (error) {
				if (!(error instanceof LogCommandError)) throw error
				const [code, serverTime] = error.answer?.split(' ') ?? []
				if (serverTime !== undefined && code === 'EVLATE') clock.learn(Number(serverTime))
				const again = code === 'EVORDER' || (code === 'EVLATE' && serverTime !== undefined)
				if (!again || performance.now() >= deadline) throw refusal(error)
				if (code === 'EVORDER') await before?.settled
			}
		}
	}

	#arguments(batch: readonly Outgoing[]): { keys: string[]; keep: number; tail: (string | number)[] } {
		const names = this.#names
		const numbers = new Map<string, number>()
		const keys = [names.log, names.channels, names.instances, names.retention]
		const channels: (string | number)[] = []
		const messages: (string | number)[] = []
		let keep = KEEP
		for (const { channel, payload, except } of batch) {
			let index = numbers.get(channel)
			if (index === undefined) {
				index = numbers.size + 1
				numbers.set(channel, index)
				keys.push(names.channel(channel))
				const kept = channelRetention(this.#options, channel)
				if (kept !== undefined) keep = Math.max(keep, 2 * kept.ttl)
				const { size = '', ttl = '', maxBytes = '' } = kept ?? {}
				channels.push(channel, names.published(names.messageChannel(channel)), size, ttl, maxBytes)
			}
			messages.push(index, `${payload.length} ${except.length}`, except, payload)
		}
		return { keys, keep, tail: [numbers.size, ...channels, ...messages] }
	}

	#position(reply: unknown): LogPosition {
		const [epoch, first, serverTime] = String(reply).split(' ')
		if (epoch === undefined || first === undefined || serverTime === undefined)
			throw new EvUnavailableError('Unexpected reply of the publish script. It may have been published.')
		this.#commands.clock.learn(Number(serverTime))
		return { epoch, seq: Number(first) }
	}
}

/** An answer of the script says that no attempt applied the batch: the script looks for it first. */
function refusal(error: LogCommandError): EvUnavailableError {
	const outcome = error.uncertain ? 'The message may have been published.' : 'The message was not sent.'
	const late = error.answer?.startsWith('EVLATE')
	const reason = late ? 'Redis got the message after its deadline.' : error.message
	return new EvUnavailableError(`${reason} ${outcome}`, { cause: error })
}

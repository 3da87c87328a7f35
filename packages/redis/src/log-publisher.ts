import { randomUUID } from 'node:crypto'
import { EvUnavailableError, type LogOptions, type LogPosition, type LogRetention } from '@evstream/core'
import type { RedisBus } from '@evstream/pubsub'
import type { RedisNames } from './keys.js'
import { KEEP, newEpoch, rethrow } from './log-commands.js'
import { Outbox, type Outgoing } from './outbox.js'
import { PUBLISH } from './publish-script.js'
import { defineScripts, runScript } from './script.js'

/** What is kept without history, to repair this instance's own holes. */
const REPAIR: LogRetention = { size: 1_000, ttl: 60_000 }
/**
 * The longest stream Redis is asked for: some servers read `MAXLEN` as a number of 32 bits. An endless history means
 * this, which is more than fits into the memory of a node.
 */
const MOST = 2 ** 31 - 1
/** The longest time Redis is asked to keep something, in ms: some 300 years. */
const LONGEST = 1e13

/** Sends the messages of one log to Redis. */
export class LogPublisher {
	readonly #bus: RedisBus
	readonly #names: RedisNames
	readonly #options: LogOptions
	readonly #outbox: Outbox
	readonly #producer = randomUUID()
	readonly #undo: () => void
	#batch = 0
	#published = 0

	constructor(bus: RedisBus, names: RedisNames, options: LogOptions, deadlineMs: number) {
		this.#bus = bus
		this.#names = names
		this.#options = options
		defineScripts(bus.client, [PUBLISH])
		this.#outbox = new Outbox(
			{
				ready: () => bus.client.status === 'ready',
				publish: (batch, left) => this.#publish(batch, left),
			},
			deadlineMs,
		)
		const wake = (): void => this.#outbox.wake()
		bus.client.on('ready', wake)
		this.#undo = () => bus.client.off('ready', wake)
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

	/** Refuses everything that was not sent. */
	close(): void {
		this.#undo()
		this.#outbox.close()
	}

	async #publish(batch: readonly Outgoing[], deadlineMs: number): Promise<LogPosition> {
		const names = this.#names
		const batchNumber = ++this.#batch
		const numbers = new Map<string, number>()
		const channels: (string | number)[] = []
		const messages: (string | number)[] = []
		let keep = KEEP
		for (const { channel, payload, except } of batch) {
			let index = numbers.get(channel)
			if (index === undefined) {
				index = numbers.size + 1
				numbers.set(channel, index)
				const { size, ttl } = this.#retention(channel)
				keep = Math.max(keep, 2 * ttl)
				channels.push(channel, names.published(names.messageChannel(channel)), size, Math.ceil(ttl))
			}
			messages.push(index, payload.length, except.length, except, payload)
		}
		const reply = await this.#bus
			.command(
				(client) =>
					runScript(
						client,
						PUBLISH,
						[
							names.log,
							names.channels,
							names.producer(this.#producer),
							...[...numbers.keys()].map((name) => names.channel(name)),
						],
						[batchNumber, newEpoch(), keep, numbers.size, ...channels, ...messages],
					),
				deadlineMs,
			)
			.catch(rethrow)
		const [epoch, first] = String(reply).split(' ')
		if (epoch === undefined || first === undefined)
			throw new EvUnavailableError('Redis gave something that is no position.')
		this.#published += batch.length
		return { epoch, seq: Number(first) }
	}

	#retention(channel: string): LogRetention {
		const { resumable, retention } = this.#options
		const { size, ttl } = retention(channel)
		// A channel that keeps nothing for clients still keeps enough to mend a lost connection.
		if (!resumable || size === 0) return REPAIR
		return { size: Math.min(size, MOST), ttl: Math.min(ttl, LONGEST) }
	}
}

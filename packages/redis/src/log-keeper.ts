import type { LogOptions } from '@evstream/core'
import { Outage } from '@evstream/pubsub'
import { type ChannelRetention, channelRetention } from './channel-retention.js'
import { outsideContext } from './context.js'
import { KEEP as KEEP_SCRIPT } from './keep-script.js'
import type { RedisNames } from './keys.js'
import { KEEP, LogCommandError, type LogCommands, newEpoch } from './log-commands.js'

/** How often the log is kept, in ms. */
const INTERVAL = 60_000
/** How long it waits after a failure, in ms. */
const RETRY = 5_000
/** The most channels whose retention is told with one call, and remembered. */
const CHANNELS = 1_000

/**
 * Keeps the log alive for this instance: it begins with the first use and runs once a minute. It tells Redis the lowest
 * position in use, so that nothing above it is forgotten, and what is kept, for senders that have no history.
 */
export class LogKeeper {
	readonly #names: RedisNames
	readonly #commands: LogCommands
	readonly #options: LogOptions
	readonly #deadline: number
	readonly #lowest: () => number | undefined
	/** Refusals since it last worked. */
	readonly #outage: Outage
	/** Channels with another retention than the rest. */
	readonly #special = new Map<string, ChannelRetention>()
	#running: Promise<void> | undefined
	#timer: NodeJS.Timeout | undefined
	#started = false
	#closed = false

	/**
	 * @param lowest - The lowest position this instance uses; `undefined` if it follows no channel.
	 * @param onError - Told once per outage what Redis refuses.
	 */
	constructor(
		names: RedisNames,
		commands: LogCommands,
		options: LogOptions,
		deadlineMs: number,
		lowest: () => number | undefined,
		onError: (error: unknown) => void,
	) {
		this.#names = names
		this.#commands = commands
		this.#options = options
		this.#deadline = deadlineMs
		this.#lowest = lowest
		this.#outage = new Outage(onError)
	}

	/** Begins, unless it has. */
	start(): void {
		if (this.#started) return
		this.#started = true
		outsideContext(() => this.#tick())
	}

	/** The channel is used: what is kept of it will be told if it differs from the rest. */
	use(channel: string): void {
		if (this.#special.size >= CHANNELS || !this.#options.resumable) return
		if (this.#options.retention(channel) === this.#options.retention('')) return
		const kept = channelRetention(this.#options, channel)
		if (kept !== undefined) this.#special.set(channel, kept)
	}

	/** Runs now. Calls at the same time share one run. Begins an epoch if one has to begin. */
	keep(): Promise<void> {
		this.#running ??= this.#keep()
			.then(this.#outage.over, (error: unknown) => {
				if (isRefusal(error)) this.#outage.report(error)
				throw error
			})
			.finally(() => {
				this.#running = undefined
			})
		return this.#running
	}

	/** Runs after what runs now: that may not know yet what this instance uses. */
	async renew(): Promise<void> {
		await this.#running?.catch(() => {})
		await this.keep()
	}

	/** Runs no more. */
	close(): void {
		this.#closed = true
		clearTimeout(this.#timer)
	}

	#tick(): void {
		const again = (ms: number): void => {
			if (!this.#closed) this.#timer = setTimeout(() => this.#tick(), ms).unref()
		}
		this.keep().then(
			() => again(INTERVAL),
			() => again(RETRY),
		)
	}

	async #keep(): Promise<void> {
		const { log, channels, instances, retention } = this.#names
		const general = channelRetention(this.#options, '')
		const kept = general === undefined ? [] : [['', general] as const, ...this.#special]
		const keep = kept.reduce((longest, [, { ttl }]) => Math.max(longest, 2 * ttl), KEEP)
		const reply = await this.#commands.run(
			KEEP_SCRIPT,
			[log, channels, instances, retention],
			() => [
				newEpoch(),
				keep,
				this.#options.instance,
				this.#lowest() ?? '',
				...kept.flatMap(([channel, { size, ttl, maxBytes }]) => [channel, `${size} ${ttl} ${maxBytes}`]),
			],
			this.#deadline,
		)
		const [epoch = '', seq, serverTime] = String(reply).split(' ')
		this.#commands.head.note(epoch, Number(seq))
		this.#commands.clock.learn(Number(serverTime))
	}
}

/** Redis answered with a refusal. A lost connection is told by the bus, and a setting by the commands. */
function isRefusal(error: unknown): boolean {
	return error instanceof LogCommandError && error.answer !== undefined && !error.answer.startsWith('EV')
}

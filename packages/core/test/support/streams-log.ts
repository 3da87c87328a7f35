import {
	type ChannelLog,
	type EvAdapter,
	type LogEntry,
	type LogOptions,
	type LogPage,
	type LogPosition,
	type LogReceiver,
	type LogStart,
	MemoryLog,
} from '../../src/index.js'

/** A place where answers wait while it is held, in order. */
export class Gate {
	#waiting: (() => void)[] = []
	#held = false

	/** How many wait. */
	get size(): number {
		return this.#waiting.length
	}

	/** From here on everything waits. */
	hold(): void {
		this.#held = true
	}

	/** Lets everything go, and what comes later too. */
	open(): void {
		this.#held = false
		this.step(this.#waiting.length)
	}

	/** Lets the oldest ones go; the others go on waiting. */
	step(count = 1): void {
		for (const go of this.#waiting.splice(0, count)) go()
	}

	pass(go: () => void): void {
		if (this.#held || this.#waiting.length > 0) this.#waiting.push(go)
		else go()
	}

	answer<T>(make: () => T): Promise<T> {
		return new Promise((resolve, reject) => {
			this.pass(() => {
				try {
					resolve(make())
				} catch (error) {
					reject(error)
				}
			})
		})
	}
}

/**
 * An adapter as one over a network: everything is answered later, and a test decides when. The store behind it is
 * a {@link MemoryLog}. Of a read the test decides when the store looks (`reads`) and when its answer comes
 * (`answers`).
 */
export class FakeAdapter implements EvAdapter {
	healthy = true
	readonly subscriptions: Gate = new Gate()
	readonly appends: Gate = new Gate()
	readonly reads: Gate = new Gate()
	readonly answers: Gate = new Gate()
	readonly deliveries: Gate = new Gate()
	/** How often the log was read. */
	readCount = 0
	/** What the next reads fail with. */
	failure: Error | undefined
	readonly subscribed: Set<string> = new Set()
	/** Everything that the store accepted, in order. */
	readonly stored: LogEntry[] = []
	/** Counts subscriptions: what is on its way to one does not reach the next one of the channel. */
	readonly #subscriptions = new Map<string, number>()
	readonly #lostUpTo = new Map<string, LogPosition>()
	#receiver: LogReceiver | undefined
	#options: LogOptions | undefined
	#store: MemoryLog | undefined

	get receiver(): LogReceiver {
		if (this.#receiver === undefined) throw new Error('No log was opened')
		return this.#receiver
	}

	get store(): MemoryLog {
		if (this.#store === undefined) throw new Error('No log was opened')
		return this.#store
	}

	openLog(receiver: LogReceiver, options: LogOptions): ChannelLog {
		this.#receiver = receiver
		this.#options = options
		this.#store = this.#makeStore(options)
		return {
			append: (channel, payload, except) =>
				this.appends.answer(() => this.store.append(channel, payload, except)),
			subscribe: (channel) =>
				this.subscriptions.answer(() => {
					this.subscribed.add(channel)
					this.#subscriptions.set(channel, (this.#subscriptions.get(channel) ?? 0) + 1)
					return this.store.position
				}),
			unsubscribe: (channel) => void this.subscribed.delete(channel),
			read: (channels, start) => this.#read(channels, start),
			direct: () => {},
			close: () => this.subscribed.clear(),
		}
	}

	/** Sends as another instance would. */
	append(channel: string, payload: string): LogPosition {
		return this.store.append(channel, payload)
	}

	/** The store lost everything: it counts anew, and the instance is told. */
	restart(): void {
		if (this.#options === undefined) throw new Error('No log was opened')
		this.#store = this.#makeStore(this.#options)
		const { position } = this.#store
		for (const channel of this.subscribed)
			this.#send(channel, () => this.receiver.reset(channel, position, 'epoch'))
	}

	/** What is on its way on the channel is lost. The instance is told when it would have arrived. */
	gap(channel: string): void {
		const { position } = this.store
		this.#lostUpTo.set(channel, position)
		this.#send(channel, () => this.receiver.reset(channel, position, 'gap'))
	}

	stats(): Record<string, number> {
		return { reads: this.readCount }
	}

	/** Something of a channel is on its way to the instance, if it is subscribed. */
	#send(channel: string, arrive: () => void): void {
		if (!this.subscribed.has(channel)) return
		const subscription = this.#subscriptions.get(channel)
		this.deliveries.pass(() => {
			if (this.subscribed.has(channel) && this.#subscriptions.get(channel) === subscription) arrive()
		})
	}

	#arrive(entry: LogEntry): void {
		const { channel, epoch, seq } = entry
		const lost = this.#lostUpTo.get(channel)
		if (lost?.epoch === epoch && seq <= lost.seq) this.receiver.reset(channel, { epoch, seq }, 'gap')
		else this.receiver.deliver(entry)
	}

	async #read(channels: readonly string[], start: LogStart): Promise<LogPage> {
		this.readCount++
		const page = await this.reads.answer(() => {
			if (this.failure !== undefined) throw this.failure
			return this.store.read(channels, start)
		})
		return this.answers.answer(() => page)
	}

	#makeStore(options: LogOptions): MemoryLog {
		return new MemoryLog(
			{
				deliver: (entry: LogEntry) => {
					this.stored.push(entry)
					this.#send(entry.channel, () => this.#arrive(entry))
				},
				reset: () => {},
				direct: () => {},
				error: () => {},
			},
			options,
		)
	}
}

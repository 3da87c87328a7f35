import { createHash, randomUUID } from 'node:crypto'
import { EvInvalidMessageError } from '@evstream/core'
import { type PeerMessage, type PeerRecord, peerMessage, type Stamp } from './peer-messages.js'
import { Recurring } from './recurring.js'
import type { LocalStates, Registry } from './registry.js'
import type { EvStatePubSub } from './types.js'
import { Worker } from './worker.js'

/** How many removals are remembered, and for how long in ms. */
const MOST_TOMBSTONES = 10_000
const TOMBSTONE_AGE = 7 * 86_400_000

/**
 * Keeps the set of states the same over a pub/sub alone. Each name has a record of who created or removed it
 * last; of two records the later one counts, everywhere, in whatever order they arrive. Records that were missed
 * come with the answer to `sync`, which is sent at the start, after a reconnect and from time to time.
 */
export class PeerRegistry implements Registry {
	readonly #pubsub: EvStatePubSub
	readonly #local: LocalStates
	readonly #onError: (error: unknown) => void
	readonly #worker: Worker
	readonly #checks: Recurring
	readonly #by = randomUUID()
	/** Oldest change first. */
	readonly #records = new Map<string, PeerRecord>()
	#time = 0
	/** What to send next: everything it knows, or a question. */
	#tellWanted = false
	#askWanted = false
	#stopRestored: (() => void) | undefined
	#closed = false

	constructor(
		pubsub: EvStatePubSub,
		local: LocalStates,
		checkInterval: number | false,
		onError: (error: unknown) => void,
	) {
		this.#pubsub = pubsub
		this.#local = local
		this.#onError = onError
		this.#worker = new Worker(() => this.#step(), onError)
		this.#checks = new Recurring(checkInterval, () => this.#ask())
		pubsub.onMessage((message) => this.#receive(message))
		const stop = pubsub.onRestored?.(() => this.#ask())
		if (typeof stop === 'function') this.#stopRestored = stop
		// An answer that comes before the subscription is lost.
		Promise.resolve(pubsub.ready).then(
			() => this.#ask(),
			() => this.#ask(),
		)
	}

	adapter(): undefined {}

	created(name: string, initial: string | undefined): undefined {
		const value: unknown = initial === undefined ? undefined : JSON.parse(initial)
		this.#remember({ channel: name, present: true, initial: value, ...this.#stamp() })
		this.#say(name)
	}

	remove(name: string): void {
		this.#remember({ channel: name, present: false, ...this.#stamp() })
		this.#say(name)
	}

	close(): void {
		this.#closed = true
		this.#checks.stop()
		this.#worker.stop()
		this.#stopRestored?.()
		this.#pubsub.onMessage(() => {})
	}

	/** Later than everything that was heard of, also if the clock went back. */
	#stamp(): Stamp {
		this.#time = Math.max(Date.now(), this.#time + 1)
		return { time: this.#time, by: this.#by }
	}

	#say(name: string): void {
		const record = this.#records.get(name)
		if (!record) return
		const { present, ...rest } = record
		this.#send({ type: present ? 'create' : 'remove', ...rest }).catch(() => {
			// Whoever sends reports it. Once it works again the others get everything.
			this.#tellWanted = true
			this.#worker.kick()
		})
	}

	#ask(): void {
		if (this.#closed) return
		this.#askWanted = true
		this.#worker.wake()
	}

	async #step(): Promise<boolean> {
		if (this.#tellWanted) {
			await this.#send({ type: 'states', states: [...this.#records.values()] })
			this.#tellWanted = false
		} else if (this.#askWanted) {
			await this.#send({ type: 'sync', digest: this.#digest() })
			this.#askWanted = false
		} else return false
		return true
	}

	async #send(message: PeerMessage): Promise<void> {
		await this.#pubsub.send(message)
	}

	#receive(given: unknown): void {
		if (this.#closed) return
		const message = peerMessage(given)
		if (message === 'malformed') {
			this.#onError(
				new EvInvalidMessageError('A message about states came over the pub/sub that is malformed.'),
			)
		} else if (message?.type === 'sync') {
			if (message.digest !== this.#digest()) this.#tell()
		} else if (message?.type === 'states') {
			for (const record of message.states) this.#apply(record)
			if (this.#knowsMoreThan(message.states)) this.#tell()
		} else if (message) {
			const stamp = message.time === undefined || message.by === undefined ? this.#stamp() : message
			const { time, by } = { time: stamp.time ?? this.#time, by: stamp.by ?? this.#by }
			const present = message.type === 'create'
			const initial = message.type === 'create' ? message.initial : undefined
			this.#apply({ channel: message.channel, present, time, by, ...(present && { initial }) })
		}
	}

	#tell(): void {
		this.#tellWanted = true
		this.#worker.kick()
	}

	#apply(record: PeerRecord): void {
		this.#time = Math.max(this.#time, record.time)
		const known = this.#records.get(record.channel)
		if (known && !isLater(record, known)) return
		this.#remember(record)
		if (!record.present) this.#local.drop(record.channel)
		else if (!this.#local.has(record.channel)) {
			this.#local.follow(record.channel, JSON.stringify(record.initial))
		}
	}

	#remember(record: PeerRecord): void {
		this.#records.delete(record.channel)
		this.#records.set(record.channel, record)
		let tombstones = 0
		if (record.present) return
		for (const { present } of this.#records.values()) if (!present) tombstones++
		for (const { present, channel, time } of this.#records.values()) {
			if (present) continue
			if (tombstones-- <= MOST_TOMBSTONES && time > Date.now() - TOMBSTONE_AGE) break
			this.#records.delete(channel)
		}
	}

	#knowsMoreThan(others: readonly PeerRecord[]): boolean {
		const theirs = new Map(others.map((record) => [record.channel, record]))
		for (const record of this.#records.values()) {
			const other = theirs.get(record.channel)
			if (!other || isLater(record, other)) return true
		}
		return false
	}

	#digest(): string {
		const lines = [...this.#records.values()].map(({ channel, time, by }) =>
			JSON.stringify([channel, time, by]),
		)
		return createHash('sha1').update(lines.sort().join('\n')).digest('base64')
	}
}

function isLater(a: Stamp, b: Stamp): boolean {
	return a.time > b.time || (a.time === b.time && a.by > b.by)
}

import type { LogEntry } from '../../src/index.js'

/** What a world does beside sending, listening and being cut. */
export interface Flags {
	/** The store loses everything and counts in a new epoch. */
	readonly restart: boolean
	/** The instance misses messages. */
	readonly gap: boolean
	/** The store keeps three messages a channel. */
	readonly scarce: boolean
	/** Newcomers ask for the newest messages. */
	readonly last: boolean
	/** The send buffer of a client is small. */
	readonly small: boolean
	/** Streams leave channels. */
	readonly unlisten: boolean
}

/** Thrown where a promise is broken. */
export class BrokenPromise extends Error {}

/** Everything that the store accepted, by the number in its data; and all that happened, to be printed. */
export class Journal {
	readonly steps: string[] = []
	readonly #stored: readonly LogEntry[]
	readonly #places = new Map<number, number>()
	/** The first promise that was broken. */
	broken: string | undefined

	constructor(stored: readonly LogEntry[]) {
		this.#stored = stored
	}

	get entries(): readonly LogEntry[] {
		return this.#stored
	}

	note(step: string): void {
		this.steps.push(step)
	}

	/** Notes a fault. */
	breakWith(text: string): void {
		this.note(`BROKEN ${text}`)
		this.broken ??= text
	}

	/** Notes a fault and throws it. */
	fail(text: string): never {
		this.breakWith(text)
		throw new BrokenPromise(text)
	}

	/** The place in the store of the message with a number. */
	placeOf(number: number): number {
		for (let place = this.#places.size; place < this.#stored.length; place++) {
			this.#places.set(numberOf(this.#stored[place]?.payload.slice('data:'.length) ?? ''), place)
		}
		return this.#places.get(number) ?? this.fail(`message ${number} was never sent`)
	}

	at(place: number): LogEntry {
		return this.#stored[place] ?? this.fail(`nothing is stored at ${place}`)
	}
}

/** The number that the data of a message begins with. */
export function numberOf(data: string): number {
	return Number.parseInt(data.slice(1), 10)
}

/** What one client has, and what it is owed over all its visits: every message once, or a reset. */
export class Account {
	readonly #journal: Journal
	readonly #name: string
	/** Places of messages that it has. */
	#has = new Set<number>()
	/** Places of messages that it must still get, or be told that it misses. */
	readonly #owed = new Set<number>()
	/** The place of the next message that may be owed. */
	#next = 0
	/** Channels it listened to when everything was quiet. It is owed what they are sent from then on. */
	readonly #established = new Set<string>()

	constructor(journal: Journal, name: string) {
		this.#journal = journal
		this.#name = name
	}

	get established(): ReadonlySet<string> {
		return this.#established
	}

	/** It listens to the channels, and everything is quiet. */
	establish(channels: Iterable<string>): void {
		this.settle()
		for (const channel of channels) this.#established.add(channel)
	}

	/** It forgot everything, and comes as a newcomer. */
	clear(): void {
		this.settle()
		this.#established.clear()
		this.#owed.clear()
		this.#has = new Set()
	}

	/** It is owed what was sent since the last time on its channels. */
	settle(): void {
		for (; this.#next < this.#journal.entries.length; this.#next++) {
			const isOwed = this.#established.has(this.#journal.at(this.#next).channel)
			if (isOwed && !this.#has.has(this.#next)) this.#owed.add(this.#next)
		}
	}

	/** Nothing of the channel is owed until it is established again. */
	forgive(channel: string): void {
		this.settle()
		this.#established.delete(channel)
		for (const place of this.#owed) if (this.#journal.at(place).channel === channel) this.#owed.delete(place)
	}

	/** A message came. */
	take(place: number): void {
		const { channel, seq } = this.#journal.at(place)
		if (this.#has.has(place)) this.#journal.fail(`${this.#name}: ${seq} of ${channel} came twice`)
		this.#has.add(place)
		this.#owed.delete(place)
	}

	/** It was told that it missed everything up to a position. */
	reset(epoch: string, seq: number): void {
		this.settle()
		for (const place of this.#owed) {
			const entry = this.#journal.at(place)
			if (entry.epoch !== epoch || entry.seq <= seq) this.#owed.delete(place)
		}
	}

	/** Everything was read, at last. */
	expectNothingOwed(): void {
		this.settle()
		const lost = [...this.#owed].map((place) => this.#journal.at(place))
		if (lost.length === 0) return
		this.#journal.fail(
			`${this.#name}: lost without a reset: ${lost.map(({ channel, seq }) => `${channel}:${seq}`).join(' ')}`,
		)
	}
}

import { randomUUID } from 'node:crypto'
import { EvInvalidMessageError } from '@evstream/core'
import { PARTS } from './peer-digest.js'
import {
	type PeerMessage,
	type PeerPage,
	type PeerRecord,
	peerMessage,
	type RefusedRecord,
	type Stamp,
} from './peer-messages.js'
import { pages } from './peer-pages.js'
import { PeerRecords } from './peer-records.js'
import { Recurring } from './recurring.js'
import type { LocalStates, Registry } from './registry.js'
import type { EvStatePubSub } from './types.js'
import { Wait } from './wait.js'
import { Worker } from './worker.js'

/** An answer waits up to so many ms: another instance may give the same one meanwhile. */
const LONGEST_DELAY = 200
/** How much of the id of another instance an error shows. */
const LONGEST_SHOWN = 64
/** How many reasons not to take records in are remembered. Further ones are not reported. */
const MOST_REFUSALS = 100

/**
 * Keeps the set of states the same over a pub/sub alone. Each name has a record of who created or removed it
 * last; of two records the later one counts, everywhere, in whatever order they arrive.
 *
 * Records that were missed come with the answer to `sync`, which is sent at the start, after a reconnect and from time
 * to time: the parts that differ, in pages. One instance answers, after a random time; the others hear that and need
 * not. The sender of the `sync` replies with what it knows more, and that ends it.
 */
export class PeerRegistry implements Registry {
	readonly #pubsub: EvStatePubSub
	readonly #local: LocalStates
	readonly #onError: (error: unknown) => void
	readonly #worker: Worker
	readonly #checks: Recurring
	readonly #by = randomUUID()
	readonly #records = new PeerRecords()
	readonly #delay = new Wait()
	/** Whose records are not taken in, and why: each is reported once, until a message of that instance is right. */
	readonly #refused = new Set<string>()
	/** What to send next: parts of what it knows as an answer, or as a reply, and a question. */
	readonly #answers = new Set<number>()
	readonly #replies = new Set<number>()
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
		this.#records.set({ channel: name, present: true, initial: value, ...this.#stamp(name, true) })
		this.#say(name)
	}

	remove(name: string): void {
		this.#records.set({ channel: name, present: false, ...this.#stamp(name, false) })
		this.#say(name)
	}

	close(): void {
		this.#closed = true
		this.#checks.stop()
		this.#worker.stop()
		this.#delay.end()
		this.#stopRestored?.()
		this.#pubsub.onMessage(() => {})
	}

	/**
	 * Later than what is known of the name, also if the clock went back. It does not follow the clocks of others in other
	 * names: those with a clock far behind would take in nothing that is made here.
	 */
	#stamp(name: string, present: boolean): Stamp {
		const known = this.#records.get(name)?.time ?? 0
		// A removal up to the floor is not remembered.
		const floor = present ? 0 : (this.#records.floor?.time ?? 0)
		return { time: Math.max(Date.now(), known + 1, floor + 1), by: this.#by }
	}

	#say(name: string): void {
		const record = this.#records.get(name)
		if (!record) return
		const { present, ...rest } = record
		this.#send({ type: present ? 'create' : 'remove', ...rest }).catch(() => {
			// Whoever sends reports it. Once it works again the others get everything.
			for (let part = 0; part < PARTS; part++) this.#answers.add(part)
			this.#worker.kick()
		})
	}

	#ask(): void {
		if (this.#closed) return
		this.#askWanted = true
		this.#worker.wake()
	}

	async #step(): Promise<boolean> {
		if (this.#askWanted) {
			await this.#send({ type: 'sync', ...this.#position() })
			this.#askWanted = false
		} else if (this.#replies.size > 0) await this.#tell(this.#replies, true)
		else if (this.#answers.size > 0) {
			await this.#delay.begin(Math.random() * LONGEST_DELAY)
			if (!this.#closed && this.#answers.size > 0) await this.#tell(this.#answers, false)
		} else return false
		return true
	}

	/** Sends all records of these parts. The last page has the digest, so that the receiver knows what it knows more. */
	async #tell(parts: Set<number>, reply: boolean): Promise<void> {
		const told = new Set(parts)
		let last: readonly PeerRecord[] = []
		for (const states of pages(this.#records.of(told))) {
			if (last.length > 0) await this.#send({ type: 'states', states: last })
			if (this.#closed) return
			last = states
		}
		await this.#send({
			type: 'states',
			states: last,
			...this.#position(),
			...(reply && { reply }),
		})
		for (const part of told) parts.delete(part)
	}

	/** What others compare with what they know. */
	#position(): { digest: string; floor?: Stamp } {
		const { floor } = this.#records
		return { digest: this.#records.digest(), ...(floor && { floor }) }
	}

	async #send(message: PeerMessage): Promise<void> {
		await this.#pubsub.send(message)
	}

	#receive(given: unknown): void {
		if (this.#closed) return
		const message = peerMessage(given, (refused) => this.#refuse(refused))
		if (message === 'malformed') {
			this.#onError(
				new EvInvalidMessageError('A message about states came over the pub/sub that is malformed.'),
			)
		} else if (message?.type === 'sync') {
			if (message.floor) this.#records.raiseFloor(message.floor)
			for (const part of this.#records.differences(message.digest)) this.#answers.add(part)
			this.#worker.kick()
		} else if (message?.type === 'states') {
			for (const record of message.states) this.#apply(record)
			if (message.floor) this.#records.raiseFloor(message.floor)
			this.#compare(message)
		} else if (message) {
			const { channel } = message
			const present = message.type === 'create'
			const now = this.#stamp(channel, present)
			const { time = now.time, by = now.by } = message
			const initial = message.type === 'create' ? message.initial : undefined
			this.#apply({ channel, present, time, by, ...(present && { initial }) })
			for (const reason of ['ahead', 'malformed'] as const) this.#refused.delete(refusal({ reason, by }))
		}
	}

	#refuse(refused: RefusedRecord): void {
		const key = refusal(refused)
		if (this.#refused.has(key) || this.#refused.size >= MOST_REFUSALS) return
		this.#refused.add(key)
		const what = `A record of the instance "${refused.by.slice(0, LONGEST_SHOWN)}" about a state`
		this.#onError(
			new EvInvalidMessageError(
				refused.reason === 'ahead'
					? `${what} is more than a day ahead of the clock here, and is not taken in. Compare the clocks.`
					: `${what} came over the pub/sub that is malformed.`,
			),
		)
	}

	/** Another instance told all that it knows of some parts. */
	#compare({ digest, reply }: PeerPage): void {
		if (digest === undefined) return
		const differ = this.#records.differences(digest)
		// What is the same was just told, so it need not be told again.
		for (const part of this.#answers) if (!differ.has(part)) this.#answers.delete(part)
		if (reply === true || differ.size === 0) return
		for (const part of differ) this.#replies.add(part)
		this.#worker.kick()
	}

	#apply(record: PeerRecord): void {
		if (!this.#records.isNews(record)) return
		this.#records.set(record)
		if (!record.present) this.#local.drop(record.channel)
		else if (!this.#local.has(record.channel)) {
			this.#local.follow(record.channel, JSON.stringify(record.initial))
		}
	}
}

function refusal({ reason, by }: RefusedRecord): string {
	return `${reason} ${by.slice(0, LONGEST_SHOWN)}`
}

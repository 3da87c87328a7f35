import { createParser } from 'eventsource-parser'
import type { EvManagedStream } from '../../src/index.js'
import { type Account, type Journal, numberOf } from './promises.js'

/** What a visit was told. */
interface Told {
	readonly event: string | undefined
	readonly id: string
	readonly data: string
}

/** Where a client stands that has an id. */
export interface Stand {
	readonly epoch: string
	readonly seq: number
	/** The id says that some channels are behind. */
	readonly isLate: boolean
}

/** Reads `<epoch>-<seq>` and `<epoch>-<late>-<seq>`. */
export function standOf(id: string): Stand {
	const [epoch = '', ...rest] = id.split('-')
	return { epoch, seq: Number(rest.at(-1)), isLate: rest.length > 1 }
}

/** One connection of a client, and the promises that hold within it. */
export class Visit {
	readonly listening: Set<string> = new Set()
	/** What had been stored when it began to listen to a channel in a later tick. */
	readonly #lateListens = new Map<string, { epoch: string; seq: number }>()
	/** The last id it came with or was told. */
	lastEventId: string | undefined
	readonly #reader: ReadableStreamDefaultReader<Uint8Array>
	/** Its epochs, the newest one last. */
	readonly #epochs: string[] = []
	#seq = -1
	/** Channel → the place of its last message on this visit. */
	readonly #last = new Map<string, number>()
	/** Channels that a newcomer left: if it listens again, it begins where the channel stands then. */
	readonly #left = new Set<string>()
	#isCut = false
	#paused: Promise<void> | undefined
	#resume: (() => void) | undefined

	constructor(
		readonly name: string,
		readonly stream: EvManagedStream,
		response: Response,
		readonly cameWith: string | undefined,
		private readonly account: Account,
		private readonly journal: Journal,
		private readonly reasons: ReadonlySet<string>,
	) {
		if (response.body === null) throw new TypeError('The response has no body')
		this.lastEventId = cameWith
		this.#reader = response.body.getReader()
		// A fault has been noted by the journal.
		this.#read().catch((error: unknown) => journal.note(`   ${name}: ${error}`))
	}

	get isOpen(): boolean {
		return !this.#isCut && !this.stream.closed
	}

	get isPaused(): boolean {
		return this.#paused !== undefined
	}

	/** Listens to a channel; `head` is what has been stored, if the first tick is over. */
	listen(channel: string, last: number, head: { epoch: string; seq: number } | undefined): void {
		this.journal.note(`${this.name} listens to ${channel}${last > 0 ? ` with the last ${last}` : ''}`)
		if (head !== undefined) this.#lateListens.set(channel, head)
		this.listening.add(channel)
		this.stream.listen(channel, { last })
	}

	unlisten(channel: string): void {
		this.journal.note(`${this.name} leaves ${channel}`)
		if (this.cameWith === undefined) {
			this.account.forgive(channel)
			this.#left.add(channel)
		}
		this.listening.delete(channel)
		this.stream.unlisten(channel)
	}

	/**
	 * Whether the id that the client has now says nothing of a channel, because it was written before the visit
	 * listened to it. Nobody can know then that the client misses messages there.
	 */
	knowsNothingOf(channel: string): boolean {
		if (!this.listening.has(channel)) return true
		const head = this.#lateListens.get(channel)
		if (head === undefined || this.lastEventId === undefined) return false
		if (this.lastEventId === this.cameWith) return true
		const { epoch, seq, isLate } = standOf(this.lastEventId)
		return !isLate && epoch === head.epoch && seq <= head.seq
	}

	pause(): void {
		this.journal.note(`${this.name} pauses`)
		this.#paused = new Promise((resolve) => {
			this.#resume = resolve
		})
	}

	resume(): void {
		if (this.#resume !== undefined) this.journal.note(`${this.name} reads on`)
		this.#paused = undefined
		this.#resume?.()
		this.#resume = undefined
	}

	cut(): void {
		this.journal.note(`${this.name} is cut`)
		this.#isCut = true
		this.resume()
		this.#reader.cancel().catch((error: unknown) => this.journal.note(`   ${this.name}: ${error}`))
	}

	async #read(): Promise<void> {
		const decoder = new TextDecoder()
		const parser = createParser({
			onEvent: ({ event, id, data }) => {
				if (id !== undefined && !this.#isCut) this.#take({ event, id, data })
			},
		})
		for (;;) {
			while (this.#paused !== undefined) await this.#paused
			const { value, done } = await this.#reader.read()
			if (done) return
			parser.feed(decoder.decode(value, { stream: true }))
		}
	}

	#take({ event, id, data }: Told): void {
		this.journal.note(`   ${this.name} gets ${event ?? 'message'} ${data.slice(0, 20)} #${id}`)
		this.lastEventId = id
		const { epoch, seq } = standOf(id)
		if (epoch !== this.#epochs.at(-1)) {
			if (this.#epochs.includes(epoch)) this.journal.fail(`${this.name}: the epoch goes back at ${id}`)
			this.#epochs.push(epoch)
		} else if (seq < this.#seq) this.journal.fail(`${this.name}: ids fall from ${this.#seq} to ${id}`)
		this.#seq = seq
		if (event === 'reset') this.#takeReset(data, epoch, seq)
		else if (event === undefined) this.#takeMessage(this.journal.placeOf(numberOf(data)))
	}

	#takeReset(data: string, epoch: string, seq: number): void {
		const reason = /"reason":"(\w+)"/.exec(data)?.[1] ?? data
		if (!this.reasons.has(reason)) this.journal.fail(`${this.name}: a reset because of ${reason}`)
		this.#last.clear()
		this.account.reset(epoch, seq)
	}

	#takeMessage(place: number): void {
		const { channel } = this.journal.at(place)
		this.account.take(place)
		const last = this.#last.get(channel)
		this.#last.set(channel, place)
		if (last === undefined || this.#left.has(channel)) return
		for (let between = last + 1; between < place; between++) {
			const missed = this.journal.at(between)
			if (missed.channel === channel)
				this.journal.fail(`${this.name}: ${missed.seq} of ${channel} is missing before ${place}`)
		}
	}
}

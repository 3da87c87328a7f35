/** What the clients of a fleet saw, and what is wrong with it. */
import { EpochChain } from './epoch-chain.js'

/** Stands between the messages of a client where it was told `reset`. */
const RESET = 0
/** Epochs are numbered as they are seen; an id is kept as one number. */
const EPOCH = 2 ** 40

/** What {@link Transcript.verdict} found. Counted over all clients. */
export interface Verdict {
	/** Messages of the log that a client did not get, and no reset said so. */
	lost: number
	/** Messages that a client got twice, or that stand twice in the log. */
	doubled: number
	/** Messages that came before one that was sent earlier. */
	disordered: number
	/** Messages of which two clients saw something different. */
	different: number
	/** Messages that were refused for certain, and arrived. */
	undead: number
	/** Messages that were accepted, or seen, and that the log lost with its data. */
	gone: number
	/** Messages that a client missed, and was told so. */
	missed: number
	resets: number
	/** Messages that arrived, over all clients. */
	deliveries: number
	/** Messages of the log: those that arrived anywhere, and those that were accepted. */
	messages: number
	/** The first things that were wrong. */
	readonly examples: string[]
}

/** What one client got. */
export class ClientTranscript {
	/** For each channel the ids of its messages, as {@link Transcript.number} numbers them, with 0 for each reset. */
	readonly seen: number[][]
	resets = 0
	/** The `seq` of the last id. */
	position: number | undefined
	readonly #transcript: Transcript

	constructor(
		readonly name: string,
		transcript: Transcript,
	) {
		this.#transcript = transcript
		this.seen = transcript.channels.map(() => [])
	}

	/** Takes an event as the client got it. */
	take(event: string, id: string, data: string): void {
		if (id === '') return
		this.position = Number(id.slice(id.lastIndexOf('-') + 1))
		if (event === 'reset') {
			this.resets++
			for (const seen of this.seen) seen.push(RESET)
			return
		}
		const channel = this.#transcript.index(event)
		if (channel === undefined) return
		const number = this.#transcript.number(id)
		this.seen[channel]?.push(number)
		this.#transcript.note(channel, number, data)
	}
}

/** Everything the clients of a fleet got, against what its publishers know. */
export class Transcript {
	readonly clients: ClientTranscript[] = []
	/** The log's own account of its epochs. */
	readonly chain: EpochChain = new EpochChain()
	/** Epochs as they were seen. */
	readonly #epochs: string[] = []
	readonly #indexes: ReadonlyMap<string, number>
	/** For each channel: the number of an id → data. */
	readonly #seen: Map<number, string>[]
	/** For each channel: what was refused for certain. */
	readonly #refused: Set<string>[]
	/** Messages that a publisher knows to be in the log. */
	accepted = 0
	#different = 0

	constructor(readonly channels: readonly string[]) {
		this.#indexes = new Map(channels.map((name, index) => [name, index]))
		this.#seen = channels.map(() => new Map())
		this.#refused = channels.map(() => new Set())
	}

	/** How many epochs there were. */
	get epochs(): number {
		return this.#epochs.length
	}

	/** A new client that listens to all channels. */
	client(name: string): ClientTranscript {
		const client = new ClientTranscript(name, this)
		this.clients.push(client)
		return client
	}

	/** A publisher knows that its message was accepted. */
	accept(channel: number, data: string, id: string): void {
		this.accepted++
		this.note(channel, this.number(id), data)
	}

	/** A publisher knows why its message was refused. */
	refuse(channel: number, data: string, why: string): void {
		if (!/\bmay\b/.test(why)) this.#refused[channel]?.add(data)
	}

	/** An id `<epoch>-<seq>`, or `<epoch>-<late>-<seq>`, as one number above 0. */
	number(id: string): number {
		const epoch = id.slice(0, id.indexOf('-'))
		let index = this.#epochs.lastIndexOf(epoch)
		if (index < 0) index = this.#epochs.push(epoch) - 1
		return index * EPOCH + Number(id.slice(id.lastIndexOf('-') + 1))
	}

	index(event: string): number | undefined {
		return this.#indexes.get(event)
	}

	note(channel: number, number: number, data: string): void {
		const known = this.#seen[channel]?.get(number)
		if (known === undefined) this.#seen[channel]?.set(number, data)
		else if (known !== data) this.#different++
	}

	verdict(): Verdict {
		const verdict: Verdict = {
			lost: 0,
			doubled: 0,
			disordered: 0,
			different: this.#different,
			undead: 0,
			gone: 0,
			missed: 0,
			resets: this.clients.reduce((sum, { resets }) => sum + resets, 0),
			deliveries: 0,
			messages: 0,
			examples: [],
		}
		for (const [channel, name] of this.channels.entries()) {
			const log = this.#log(channel, verdict)
			verdict.messages += log.length
			checkLog(log, verdict)
			const order = new Map(log.map(([place], index) => [place, index]))
			for (const client of this.clients) {
				const seen = (client.seen[channel] ?? []).flatMap((number) => this.#place(number))
				checkClient(`${client.name} on ${name}`, seen, log, order, verdict)
			}
		}
		return verdict
	}

	/** The messages of a channel that the log has, or had until they were trimmed, in its order. */
	#log(channel: number, verdict: Verdict): [number, string][] {
		const log = new Map<number, string>()
		for (const [number, data] of this.#seen[channel] ?? []) {
			if (this.#refused[channel]?.has(data) === true) {
				verdict.undead++
				complain(verdict, `${data} was refused, and arrived at ${number}`)
			}
			const [place] = this.#place(number)
			if (place === undefined) {
				verdict.gone++
				continue
			}
			if ((log.get(place) ?? data) !== data) {
				verdict.different++
				complain(verdict, `${data} and ${log.get(place)} are both at ${place}`)
			}
			log.set(place, data)
		}
		return [...log].sort(([a], [b]) => a - b)
	}

	/** Where a number stands in the log; empty if the log has lost it. */
	#place(number: number): number[] {
		if (number === RESET) return [RESET]
		const place = this.chain.place(this.#epochs[Math.floor(number / EPOCH)] ?? '', number % EPOCH)
		return place === undefined ? [] : [place]
	}
}

/** Whether the log has each message once, and those of each publisher in the order it sent them. */
function checkLog(log: readonly (readonly [number, string])[], verdict: Verdict): void {
	const found = new Set<string>()
	const numbers = new Map<string, number>()
	for (const [seq, data] of log) {
		const [publisher = '', number] = data.split(' ')
		if (number === undefined) continue
		if (found.has(data)) {
			verdict.doubled++
			complain(verdict, `${data} stands twice in the log, again at ${seq}`)
		} else if (Number(number) < (numbers.get(publisher) ?? 0)) {
			verdict.disordered++
			complain(verdict, `${data} at ${seq} stands behind ${numbers.get(publisher)}`)
		} else numbers.set(publisher, Number(number))
		found.add(data)
	}
}

function complain({ examples }: Verdict, text: string): void {
	if (examples.length < 10) examples.push(text)
}

function checkClient(
	who: string,
	seen: readonly number[],
	log: readonly (readonly [number, string])[],
	order: ReadonlyMap<number, number>,
	verdict: Verdict,
): void {
	let next = 0
	let told = false
	const had = new Set<number>()
	const skip = (to: number): void => {
		if (to > next) {
			if (told) verdict.missed += to - next
			else {
				verdict.lost += to - next
				complain(verdict, `${who}: ${to - next} from ${log[next]?.[0]} (${log[next]?.[1]}) on are missing`)
			}
		}
		told = false
		next = to
	}
	for (const seq of seen) {
		if (seq === RESET) {
			told = true
			continue
		}
		verdict.deliveries++
		const at = order.get(seq) ?? -1
		if (had.has(seq)) {
			verdict.doubled++
			complain(verdict, `${who}: ${seq} came twice`)
		} else if (at < next) {
			verdict.disordered++
			complain(verdict, `${who}: ${seq} came behind ${log[next - 1]?.[0]}`)
		} else {
			skip(at)
			next = at + 1
		}
		had.add(seq)
	}
	skip(log.length)
}

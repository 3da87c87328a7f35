/** What the clients of a fleet saw, and what is wrong with it. */

/** Stands between the messages of a client where it was told `reset`. */
const RESET = 0

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
	/** For each channel the positions of its messages, with 0 for each reset. */
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
		const dash = id.lastIndexOf('-')
		const seq = Number(id.slice(dash + 1))
		this.#transcript.enter(id.slice(0, dash))
		this.position = seq
		if (event === 'reset') {
			this.resets++
			for (const seen of this.seen) seen.push(RESET)
			return
		}
		const channel = this.#transcript.index(event)
		if (channel === undefined) return
		this.seen[channel]?.push(seq)
		this.#transcript.note(channel, seq, data)
	}
}

/** Everything the clients of a fleet got, against what its publishers know. */
export class Transcript {
	readonly clients: ClientTranscript[] = []
	readonly epochs: Set<string> = new Set()
	#epoch = ''
	readonly #indexes: ReadonlyMap<string, number>
	/** For each channel: position → data. */
	readonly #log: Map<number, string>[]
	/** Messages that a publisher knows to be in the log. */
	accepted = 0
	#different = 0

	constructor(readonly channels: readonly string[]) {
		this.#indexes = new Map(channels.map((name, index) => [name, index]))
		this.#log = channels.map(() => new Map())
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
		this.note(channel, Number(id.slice(id.lastIndexOf('-') + 1)), data)
	}

	enter(epoch: string): void {
		if (epoch === this.#epoch) return
		this.#epoch = epoch
		this.epochs.add(epoch)
	}

	index(event: string): number | undefined {
		return this.#indexes.get(event)
	}

	note(channel: number, seq: number, data: string): void {
		const log = this.#log[channel]
		const known = log?.get(seq)
		if (known === undefined) log?.set(seq, data)
		else if (known !== data) this.#different++
	}

	verdict(): Verdict {
		const verdict: Verdict = {
			lost: 0,
			doubled: 0,
			disordered: 0,
			different: this.#different,
			missed: 0,
			resets: this.clients.reduce((sum, { resets }) => sum + resets, 0),
			deliveries: 0,
			messages: 0,
			examples: [],
		}
		for (const [channel, name] of this.channels.entries()) {
			const log = [...(this.#log[channel] ?? [])].sort(([a], [b]) => a - b)
			verdict.messages += log.length
			checkLog(log, verdict)
			const order = new Map(log.map(([seq], index) => [seq, index]))
			for (const client of this.clients) {
				checkClient(`${client.name} on ${name}`, client.seen[channel] ?? [], log, order, verdict)
			}
		}
		return verdict
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

/** A message to a channel, as it was sent. Messages are ordered by `n`, direct ones too: the order of calls. */
export interface Sent {
	readonly n: number
	readonly channel: string
	readonly data: string
	/** The stream that is left out. */
	readonly except: string | undefined
	/** The clients that the filter lets through, one bit each. */
	readonly allowed: number
	/** Bytes of the channel's messages up to this one. */
	readonly total: number
	/** Its place in the log, once `send` resolved. */
	seq: number | undefined
	id: string | undefined
	/** `send` rejected: nobody gets it. */
	refused: boolean
}

/** What one channel was sent. */
export class Line {
	readonly messages: Sent[] = []
	/** Bytes of all of it. */
	total = 0
	#turn = -1
	#before = 0

	/** Bytes that were sent before the given turn. */
	totalBefore(turn: number): number {
		return turn === this.#turn ? this.#before : this.total
	}

	count(size: number, turn: number): void {
		if (turn !== this.#turn) {
			this.#turn = turn
			this.#before = this.total
		}
		this.total += size
	}
}

/** Bytes that a message costs beside its data, at most. */
export const OVERHEAD = 120

/** Everything that was sent to channels. */
export class SentLog {
	readonly #lines = new Map<string, Line>()
	readonly #bySeq = new Map<number, Sent>()
	/** All of them: the log gives its places in the order of the calls. */
	readonly #order: Sent[] = []
	readonly #byNumber = new Map<number, Sent>()
	#last = 0
	/** The largest message of any kind. */
	largest = 0
	/** Bytes of all messages. */
	bytes = 0

	/** The number of the newest message. */
	get last(): number {
		return this.#last
	}

	line(channel: string): Line {
		let line = this.#lines.get(channel)
		if (line === undefined) {
			line = new Line()
			this.#lines.set(channel, line)
		}
		return line
	}

	/** Numbers a message of any kind. */
	number(size: number): number {
		this.largest = Math.max(this.largest, size)
		this.bytes += size
		return ++this.#last
	}

	/** Takes a message down, before it is sent. */
	add(channel: string, data: string, turn: number, except: string | undefined, allowed: number): Sent {
		const size = data.length + OVERHEAD
		const line = this.line(channel)
		line.count(size, turn)
		const n = this.number(size)
		const { total } = line
		const sent: Sent = {
			n,
			channel,
			data,
			except,
			allowed,
			total,
			seq: undefined,
			id: undefined,
			refused: false,
		}
		line.messages.push(sent)
		this.#byNumber.set(n, sent)
		this.#order.push(sent)
		return sent
	}

	/** `send` resolved, or a client was faster. Returns whether all agree about the id. */
	accepted(sent: Sent, id: string | undefined): boolean {
		if (sent.id !== undefined || id === undefined) return sent.id === id
		sent.id = id
		sent.seq = seqOf(id)
		this.#bySeq.set(sent.seq, sent)
		return this.#order[sent.seq - 1] === sent
	}

	find(n: number): Sent | undefined {
		return this.#byNumber.get(n)
	}

	/** The number of the message at a place in the log; for place 0 it is 0. */
	numberAt(seq: number): number {
		return (this.#bySeq.get(seq) ?? this.#order[seq - 1])?.n ?? (seq === 0 ? 0 : Number.NaN)
	}
}

/** The channels that an id says are complete only up to an earlier place, by their tags; none for most ids. */
export function lateOf(id: string): ReadonlyMap<string, number> {
	const [, groups = ''] = id.split('-').length === 3 ? id.split('-') : []
	const late = new Map<string, number>()
	for (const group of groups.split('_')) {
		const [low = '', ...tags] = group.split('.')
		for (const tag of tags) late.set(tag, Number.parseInt(low, 36))
	}
	return late
}

/** The tag of a channel in such an id: the 64-bit FNV-1a hash of its name, folded to 51 bits, in base 36. */
export function tagOf(channel: string): string {
	let hash = 0xcbf29ce484222325n
	for (const unit of channel.split(''))
		hash = BigInt.asUintN(64, (hash ^ BigInt(unit.charCodeAt(0))) * 0x100000001b3n)
	return ((hash >> 51n) ^ BigInt.asUintN(51, hash)).toString(36)
}

/** The place in the log that an id names. */
export function seqOf(id: string): number {
	return Number(id.slice(id.lastIndexOf('-') + 1))
}

/** What instances tell each other over a pub/sub when no store holds the list. */
export type PeerMessage =
	| ({ readonly type: 'create'; readonly channel: string; readonly initial?: unknown } & Partial<Stamp>)
	| ({ readonly type: 'remove'; readonly channel: string } & Partial<Stamp>)
	/** An instance that knows something else than the sender answers with `states`. */
	| { readonly type: 'sync'; readonly digest: string }
	| PeerPage

/** Some of what the sender knows. */
export interface PeerPage {
	readonly type: 'states'
	readonly states: readonly PeerRecord[]
	/** On the last page of several: the digest of all that the sender knows. */
	readonly digest?: string
	/** It replies to an answer, and is not answered itself. */
	readonly reply?: boolean
}

/** When something was done, and by whom: of two, the later one counts. */
export interface Stamp {
	/** Milliseconds since 1970, but later than everything its instance had heard of. */
	readonly time: number
	/** The instance, which decides between equal times. */
	readonly by: string
}

/** What is known of a name. */
export interface PeerRecord extends Stamp {
	readonly channel: string
	/** `false`: it was removed. */
	readonly present: boolean
	readonly initial?: unknown
}

/** How far the clock of another instance may be ahead, in ms: a wrong one must not win for ever. */
const MOST_AHEAD = 86_400_000

/** Checks a message: `undefined` if it is none of ours, `'malformed'` if it only looks like it. */
export function peerMessage(message: unknown): PeerMessage | 'malformed' | undefined {
	if (!isObject(message)) return undefined
	const { type, channel, initial, digest, states } = message
	switch (type) {
		case 'create':
		case 'remove': {
			if (typeof channel !== 'string' || channel === '') return 'malformed'
			const stamp = message.time === undefined ? {} : stampOf(message)
			if (stamp === undefined) return 'malformed'
			return type === 'create' ? { type, channel, initial, ...stamp } : { type, channel, ...stamp }
		}
		case 'sync':
			return typeof digest === 'string' ? { type, digest } : 'malformed'
		case 'states': {
			if (!Array.isArray(states)) return 'malformed'
			const records = states.map(recordOf).filter((record) => record !== undefined)
			if (records.length !== states.length) return 'malformed'
			const last = typeof digest === 'string' ? { digest, reply: message.reply === true } : {}
			return { type, states: records, ...last }
		}
		default:
			return undefined
	}
}

function recordOf(value: unknown): PeerRecord | undefined {
	if (!isObject(value)) return undefined
	const { channel, present, initial } = value
	const stamp = stampOf(value)
	if (typeof channel !== 'string' || channel === '' || typeof present !== 'boolean' || !stamp)
		return undefined
	return { channel, present, ...stamp, ...(present && { initial }) }
}

function stampOf({ time, by }: Fields): Stamp | undefined {
	if (typeof time !== 'number' || !Number.isSafeInteger(time) || time > Date.now() + MOST_AHEAD)
		return undefined
	return typeof by === 'string' ? { time, by } : undefined
}

interface Fields {
	readonly type?: unknown
	readonly channel?: unknown
	readonly initial?: unknown
	readonly digest?: unknown
	readonly states?: unknown
	readonly reply?: unknown
	readonly time?: unknown
	readonly by?: unknown
	readonly present?: unknown
}

function isObject(value: unknown): value is Fields {
	return typeof value === 'object' && value !== null
}

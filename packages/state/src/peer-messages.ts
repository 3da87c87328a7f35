/** What instances tell each other over a pub/sub when no store holds the list. */
export type PeerMessage =
	| ({ readonly type: 'create'; readonly channel: string; readonly initial?: unknown } & Partial<Stamp>)
	| ({ readonly type: 'remove'; readonly channel: string } & Partial<Stamp>)
	/** An instance that knows something else than the sender answers with `states`. */
	| { readonly type: 'sync'; readonly digest: string; readonly floor?: Stamp }
	| PeerPage

/** Some of what the sender knows. */
export interface PeerPage {
	readonly type: 'states'
	readonly states: readonly PeerRecord[]
	/** On the last page of several: the digest of all that the sender knows. */
	readonly digest?: string
	/** With the digest: the sender remembers no removal up to this one. */
	readonly floor?: Stamp
	/** It replies to an answer, and is not answered itself. */
	readonly reply?: boolean
}

/** When something was done, and by whom: of two, the later one counts. */
export interface Stamp {
	/** Milliseconds since 1970, but later than what its instance knew of the name. */
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

/** Of two stamps the later one counts, everywhere the same. */
export function isLater(a: Stamp, b: Stamp): boolean {
	return a.time > b.time || (a.time === b.time && a.by > b.by)
}

/** How far the clock of another instance may be ahead, in ms: a wrong one must not win for ever. */
const MOST_AHEAD = 86_400_000

/** A record that is not taken in: its stamp is `'ahead'` of this clock by more than a day, or it is `'malformed'`. */
export interface RefusedRecord {
	readonly reason: 'ahead' | 'malformed'
	/** The instance it comes from, as far as it says so. */
	readonly by: string
}

/**
 * Checks a message.
 *
 * @param refuse - Told of each record that is left out. The rest of a page counts: others may know more than a record
 * that one instance cannot take in.
 * @returns `undefined` if there is nothing to do, `'malformed'` if it only looks like a message of ours.
 */
export function peerMessage(
	message: unknown,
	refuse: (refused: RefusedRecord) => void = () => {},
): PeerMessage | 'malformed' | undefined {
	if (!isObject(message)) return undefined
	const { type, channel, initial, digest, states } = message
	switch (type) {
		case 'create':
		case 'remove': {
			if (typeof channel !== 'string' || channel === '') return 'malformed'
			const stamp: Partial<Stamp> | undefined = message.time === undefined ? {} : stampOf(message)
			if (stamp === undefined) return 'malformed'
			if (isAhead(stamp)) {
				refuse({ reason: 'ahead', by: stamp.by ?? '' })
				return undefined
			}
			return type === 'create' ? { type, channel, initial, ...stamp } : { type, channel, ...stamp }
		}
		case 'sync':
			return typeof digest === 'string' ? { type, digest, ...floorOf(message) } : 'malformed'
		case 'states': {
			if (!Array.isArray(states)) return 'malformed'
			const records = states.map((state) => recordOf(state, refuse)).filter((record) => record !== undefined)
			const last =
				typeof digest === 'string' ? { digest, ...floorOf(message), reply: message.reply === true } : {}
			return { type, states: records, ...last }
		}
		default:
			return undefined
	}
}

function recordOf(value: unknown, refuse: (refused: RefusedRecord) => void): PeerRecord | undefined {
	const fields = isObject(value) ? value : {}
	const { channel, present, initial, by } = fields
	const stamp = stampOf(fields)
	if (typeof channel !== 'string' || channel === '' || typeof present !== 'boolean' || !stamp) {
		refuse({ reason: 'malformed', by: typeof by === 'string' ? by : '' })
		return undefined
	}
	if (isAhead(stamp)) {
		refuse({ reason: 'ahead', by: stamp.by })
		return undefined
	}
	return { channel, present, ...stamp, ...(present && { initial }) }
}

/** A floor that is wrong is as good as none. */
function floorOf({ floor }: Fields): { floor?: Stamp } {
	const stamp = isObject(floor) ? stampOf(floor) : undefined
	return stamp === undefined || isAhead(stamp) ? {} : { floor: stamp }
}

function stampOf({ time, by }: Fields): Stamp | undefined {
	if (typeof time !== 'number' || !Number.isSafeInteger(time)) return undefined
	return typeof by === 'string' ? { time, by } : undefined
}

function isAhead({ time = 0 }: Partial<Stamp>): boolean {
	return time > Date.now() + MOST_AHEAD
}

interface Fields {
	readonly type?: unknown
	readonly channel?: unknown
	readonly initial?: unknown
	readonly digest?: unknown
	readonly states?: unknown
	readonly floor?: unknown
	readonly reply?: unknown
	readonly time?: unknown
	readonly by?: unknown
	readonly present?: unknown
}

function isObject(value: unknown): value is Fields {
	return typeof value === 'object' && value !== null
}

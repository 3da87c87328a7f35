import type { LogPosition } from './log.js'
import { formatPosition, parsePosition } from './position.js'

/**
 * Where a client stands that began to listen to some channels later than to others. It has everything up to
 * `position`, but of late channels only up to a lower `seq`. Its id carries both. A client that is cut while it gets
 * the older messages of a late channel therefore loses nothing and gets nothing twice:
 *
 *     <epoch>-<late>-<seq>     late: groups <seq>.<channel>.<channel>, joined by _; numbers in base 36
 *                              <seq>..<channel>.<channel> are all channels but these
 *
 * The id names channels by hashes. `seq` never falls on a connection, also while older messages of a late channel are
 * written.
 */
export interface ResumePoint {
	readonly position: LogPosition
	/** Hash of a late channel → the `seq` up to which the client has everything of it. */
	readonly late?: ReadonlyMap<string, number>
	/** If set, every channel is late up to `seq`, except those with the hashes in `but`. */
	readonly others?: { readonly seq: number; readonly but: ReadonlySet<string> }
}

/** A longer `Last-Event-ID` makes a browser send a preflight across origins (Fetch, CORS-safelisted request headers). */
const LONGEST = 128

/** @returns the `seq` up to which a client at this point has everything of a channel. */
export function lowOf({ position, late, others }: ResumePoint, name: string): number {
	const hash = hashOf(name)
	const isOther = others !== undefined && !others.but.has(hash)
	return late?.get(hash) ?? (isOther ? others.seq : position.seq)
}

/** Reads an id that {@link formatPosition} or {@link formatLate} wrote; `undefined` for any other id. */
export function parseResumePoint(id: string): ResumePoint | undefined {
	const plain = parsePosition(id)
	if (plain !== undefined) return { position: plain }
	const [epoch, groups, seq, ...rest] = id.split('-')
	if (epoch === undefined || groups === undefined || seq === undefined || rest.length > 0) return undefined
	const position = parsePosition(`${epoch}-${seq}`)
	if (position === undefined || id.length > LONGEST || !/^[a-z0-9._]+$/.test(groups)) return undefined
	const late = new Map<string, number>()
	let others: ResumePoint['others']
	for (const group of groups.split('_')) {
		const [low = '', ...channels] = group.split('.')
		const upTo = Number.parseInt(low, 36)
		if (!Number.isSafeInteger(upTo) || upTo > position.seq || channels.length === 0) return undefined
		if (channels[0] === '') others = { seq: upTo, but: new Set(channels.slice(1)) }
		else for (const channel of channels) late.set(channel, upTo)
	}
	return others === undefined ? { position, late } : { position, late, others }
}

/**
 * The id of a client at `position` that has late channels (by name) only up to a lower `seq`, while it listens to
 * `channels`. `undefined` if the id would be too long. `hashes` keeps hashes from one call to the next: there is a call
 * for each late message.
 */
export function formatLate(
	position: LogPosition,
	late: ReadonlyMap<string, number>,
	channels: Iterable<string>,
	hashes: Map<string, string> = new Map(),
): string | undefined {
	const groups = new Map<number, string>()
	for (const [name, seq] of late) {
		if (seq >= position.seq) continue
		groups.set(seq, `${groups.get(seq) ?? seq.toString(36)}.${hashOf(name, hashes)}`)
	}
	if (groups.size === 0) return formatPosition(position)
	const id = formatGroups(position, [...groups.values()])
	if (id.length <= LONGEST) return id
	const [low] = groups.keys()
	if (groups.size > 1 || low === undefined) return undefined
	// All late channels have the same `seq`: the id can name the channels that are not late instead.
	const others = [...channels].filter((name) => (late.get(name) ?? position.seq) >= position.seq)
	const names = others.map((name) => hashOf(name, hashes))
	const complement = formatGroups(position, [[low.toString(36), '', ...names].join('.')])
	return complement.length <= LONGEST ? complement : undefined
}

function formatGroups({ epoch, seq }: LogPosition, groups: readonly string[]): string {
	return `${epoch}-${groups.join('_')}-${seq}`
}

function hashOf(name: string, hashes?: Map<string, string>): string {
	const known = hashes?.get(name)
	if (known !== undefined) return known
	const hash = hashName(name)
	hashes?.set(name, hash)
	return hash
}

/**
 * FNV-1a with 64 bits over the name's UTF-16 units, folded to 51 bits as its authors advise: at most ten digits in
 * base 36, and the same on every instance. Two channels with the same hash would share their place in an id, and
 * their client could get a message twice. With 51 bits a client with a thousand channels has such a pair with a
 * probability of 1 : 4,000,000,000.
 */
function hashName(name: string): string {
	// The upper and the lower 32 bits. The prime is 2^40 + 0x1b3.
	let high = 0xcbf29ce4
	let low = 0x84222325
	for (let at = 0; at < name.length; at++) {
		low = (low ^ name.charCodeAt(at)) >>> 0
		const product = low * 0x1b3
		high = (Math.imul(high, 0x1b3) + (low << 8) + Math.floor(product / 2 ** 32)) >>> 0
		low = product >>> 0
	}
	const folded = (low ^ (high >>> 19)) >>> 0
	return ((high & 0x7ffff) * 2 ** 32 + folded).toString(36)
}

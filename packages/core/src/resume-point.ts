import type { LogPosition } from './log.js'
import { formatPosition, parsePosition } from './position.js'

/**
 * Where a client stands that began to listen to some channels later than to others. It has everything up to
 * `position`, but of late channels only up to a lower `seq`. Its id carries both, so that a client that is cut while
 * it gets what it missed of a late channel loses nothing and gets nothing twice:
 *
 *     <epoch>-<late>-<seq>     late: groups <seq>.<channel>.<channel>, joined by _; numbers in base 36
 *                              <seq>..<channel>.<channel> are all channels but these
 *
 * Channels stand there as hashes. `seq` never falls on a connection, also while older messages of a late channel are
 * written.
 */
export interface ResumePoint {
	readonly position: LogPosition
	/** Hash of a channel → the `seq` up to which the client has everything of it. */
	readonly late?: ReadonlyMap<string, number>
	/** All channels but those with these hashes are late too. */
	readonly others?: { readonly seq: number; readonly but: ReadonlySet<string> }
}

/** Longer ones make a cross-origin reconnect ask first (Fetch, CORS-safelisted request headers). */
const LONGEST = 128

/** Up to where a client at this point has everything of a channel. */
export function lowOf({ position, late, others }: ResumePoint, name: string): number {
	const hash = hashOf(name)
	const isOther = others !== undefined && !others.but.has(hash)
	return late?.get(hash) ?? (isOther ? others.seq : position.seq)
}

/** Reads an id that the log or {@link formatLate} gave; `undefined` if it is neither. */
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
 * `channels`. `undefined` if there are too many for an id.
 */
export function formatLate(
	position: LogPosition,
	late: ReadonlyMap<string, number>,
	channels: Iterable<string>,
): string | undefined {
	const groups = new Map<number, string>()
	for (const [name, seq] of late) {
		if (seq < position.seq) groups.set(seq, `${groups.get(seq) ?? seq.toString(36)}.${hashOf(name)}`)
	}
	if (groups.size === 0) return formatPosition(position)
	const id = formatGroups(position, [...groups.values()])
	if (id.length <= LONGEST) return id
	const [low] = groups.keys()
	if (groups.size > 1 || low === undefined) return undefined
	// Fewer channels may not be late.
	const others = [...channels].filter((name) => (late.get(name) ?? position.seq) >= position.seq)
	const complement = formatGroups(position, [[low.toString(36), '', ...others.map(hashOf)].join('.')])
	return complement.length <= LONGEST ? complement : undefined
}

/** FNV-1a of the name's UTF-16 units: short, and the same on every instance. */
function hashOf(name: string): string {
	let hash = 0x811c9dc5
	for (let at = 0; at < name.length; at++) {
		hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
	}
	return (hash >>> 0).toString(36)
}

function formatGroups({ epoch, seq }: LogPosition, groups: readonly string[]): string {
	return `${epoch}-${groups.join('_')}-${seq}`
}

import type { LogEntry, LogPosition } from '@evstream/core'

/** The newest entries of a channel: how many, and below which `seq` they lie (default: all do). */
export interface Newest {
	readonly last: number
	readonly below?: number | undefined
}

/** Where to read a channel: after a `seq`, or its newest entries. */
export type ReadFrom = number | Newest

/** A channel to read. */
export interface ReadChannel {
	readonly name: string
	readonly from: ReadFrom
	/** Entries that are older, in ms, are left out. Default: none is. */
	readonly ttl?: number | undefined
}

/** What one read asks for. */
export interface ReadRequest {
	readonly channels: readonly ReadChannel[]
	/** Nothing above this `seq` is read. Default: the head of the log. */
	readonly bound?: number | undefined
	/** The most bytes it should bring, if that is less than a read may. */
	readonly maxBytes?: number | undefined
}

/** What one read brought of a channel. */
export interface ChannelRead {
	/** It was read after this `seq`. */
	readonly start: number
	/** Its newest entries are not found yet: ask for these next. Then `start` and the rest count for nothing. */
	readonly todo: Newest | undefined
	/** All entries between `start` and this are in `entries`, and some that are later. */
	readonly upTo: number
	/**
	 * Set if `upTo` is the end of the read. A receiver that has seen no message of the channel with this number, or a
	 * later one, has missed some.
	 */
	readonly link: number | undefined
	readonly entries: readonly LogEntry[]
}

/** The log at one moment. */
export interface LogRead {
	readonly head: LogPosition
	/** A channel that is not on the list has no message after this. */
	readonly floor: number
	/** Earlier epochs, and up to where this server knows them. */
	readonly cuts: ReadonlyMap<string, number>
	/** In the order of the request. */
	readonly channels: readonly ChannelRead[]
}

/** Reads channels at one moment, as much as one read may bring. */
export type ReadLog = (request: ReadRequest) => Promise<LogRead>

/** @throws TypeError if it is not a reply of the script. */
export function parseRead(reply: unknown, names: readonly string[]): LogRead {
	const [epoch, seq, floor, cuts, ...channels] = list(reply)
	const head = { epoch: text(epoch), seq: number(seq) }
	return {
		head,
		floor: number(floor),
		cuts: new Map(
			text(cuts)
				.split(';')
				.filter((cut) => cut !== '')
				.map((cut) => {
					const at = cut.lastIndexOf(':')
					return [cut.slice(0, at), number(cut.slice(at + 1))]
				}),
		),
		channels: names.map((channel, index) => channelRead(channel, head.epoch, channels[index])),
	}
}

function channelRead(channel: string, epoch: string, reply: unknown): ChannelRead {
	const [start, todo, upTo, link, ...replies] = list(reply)
	const entries: LogEntry[] = []
	for (const found of replies) for (const entry of list(found)) entries.push(logEntry(channel, epoch, entry))
	return {
		start: number(start),
		todo: newest(text(todo)),
		upTo: number(upTo),
		link: link === '' ? undefined : number(link),
		entries,
	}
}

/** An entry of the stream: its id `<seq>-<time>`, and its fields. */
function logEntry(channel: string, epoch: string, entry: unknown): LogEntry {
	const parts = list(entry)
	const id = text(parts[0])
	const fields = list(parts[1])
	let prev: unknown = '0'
	let payload: unknown = ''
	let except: unknown = ''
	for (let at = 0; at < fields.length; at += 2) {
		if (fields[at] === 'v') prev = fields[at + 1]
		else if (fields[at] === 'p') payload = fields[at + 1]
		else if (fields[at] === 'x') except = fields[at + 1]
	}
	return {
		channel,
		epoch,
		seq: number(id.slice(0, id.indexOf('-'))),
		prev: number(prev),
		payload: text(payload),
		except: text(except) || undefined,
	}
}

function newest(todo: string): Newest | undefined {
	if (todo === '') return undefined
	const [, last, below] = todo.split(':')
	return { last: number(last), below: number(below) }
}

function list(value: unknown): readonly unknown[] {
	if (!Array.isArray(value)) throw unexpected()
	return value
}

function text(value: unknown): string {
	if (typeof value === 'string') return value

	throw unexpected()
}

function number(value: unknown): number {
	const parsed = Number(value)
	if (!Number.isSafeInteger(parsed)) throw unexpected()
	return parsed
}

function unexpected(): TypeError {
	return new TypeError('Unexpected reply for the log: is another program using this namespace?')
}

import type { LogEntry, LogPage, LogPosition, LogStart, ResetReason } from '@evstream/core'

/** What Redis knows of a channel. */
export interface ChannelRead {
	/** The `seq` of its last message; `undefined` if it is not on the list. */
	readonly last: number | undefined
	readonly entries: readonly LogEntry[]
	/** The limit was reached: there may be more. */
	readonly more: boolean
}

/** The log at one moment. */
export interface LogRead {
	readonly head: LogPosition
	/** A channel that is not on the list has no message after this. */
	readonly floor: number
	/** Earlier epochs, and up to where this server knows them. */
	readonly cuts: ReadonlyMap<string, number>
	readonly channels: readonly ChannelRead[]
}

/** Where to read a channel: after a `seq`, or its newest entries. */
export type ReadFrom = number | { readonly last: number }

/** Reads channels at one moment, at most `limit` entries of each. */
export type ReadLog = (
	channels: readonly { name: string; from: ReadFrom }[],
	limit: number,
) => Promise<LogRead>

/** @throws TypeError if the reply of the script is not what it should be. */
export function parseRead(reply: unknown, names: readonly string[], limit: number): LogRead {
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
		channels: names.map((channel, index) => {
			const [last, found] = list(channels[index])
			const entries = list(found).map((entry): LogEntry => {
				const [entrySeq, prev, payload, except] = list(entry)
				return {
					channel,
					epoch: head.epoch,
					seq: number(entrySeq),
					prev: number(prev),
					payload: text(payload),
					except: text(except) || undefined,
				}
			})
			return { last: last === null ? undefined : number(last), entries, more: entries.length >= limit }
		}),
	}
}

/** Whether all of a channel after `after` is in what was read of it. */
export function isComplete(channel: ChannelRead, after: number, floor: number): boolean {
	// Before the first entry that is kept there is a link to what came before it.
	return (channel.entries[0]?.prev ?? channel.last ?? floor) <= after
}

/** Merges channels by `seq`, up to where all of them are known. */
export function merge(read: LogRead): { entries: LogEntry[]; upTo: LogPosition; more: boolean } {
	let upTo = Number.POSITIVE_INFINITY
	for (const { entries, more } of read.channels) {
		const last = entries.at(-1)
		if (more && last !== undefined) upTo = Math.min(upTo, last.seq)
	}
	const more = upTo < read.head.seq
	const entries = read.channels.flatMap((channel) => channel.entries.filter(({ seq }) => seq <= upTo))
	entries.sort((a, b) => a.seq - b.seq)
	return { entries, upTo: more ? { epoch: read.head.epoch, seq: upTo } : read.head, more }
}

/**
 * A page of the log: complete, or nothing.
 *
 * @param isKept Whether a channel's entries are for clients that come back, and not only for repairs.
 */
export async function readPage(
	readLog: ReadLog,
	names: readonly string[],
	start: LogStart,
	limit: number,
	isKept: (name: string) => boolean,
): Promise<LogPage> {
	if ('last' in start) {
		const { last } = start
		const wanted = names.map((name) => {
			const count = typeof last === 'number' ? last : (last.get(name) ?? 0)
			return { name, from: { last: isKept(name) ? Math.min(count, Number.MAX_SAFE_INTEGER) : 0 } }
		})
		const read = await readLog(wanted, Math.max(1, ...wanted.map(({ from }) => from.last)))
		const entries = read.channels.flatMap((channel) => channel.entries)
		entries.sort((a, b) => a.seq - b.seq)
		return { upTo: read.head, entries, more: false }
	}
	const { after, since } = start
	const from = names.map((name) => Math.max(after.seq, since?.get(name) ?? 0))
	const read = await readLog(
		names.map((name, index) => ({ name, from: isKept(name) ? (from[index] ?? 0) : { last: 0 } })),
		limit,
	)
	const reset = unreadable(read, after, from)
	if (reset !== undefined) return { upTo: read.head, entries: [], more: false, reset }
	const page = merge(read)
	return page.more ? { ...page, since } : page
}

/** @param from - After which `seq` each channel was read. */
function unreadable(read: LogRead, after: LogPosition, from: readonly number[]): ResetReason | undefined {
	if (after.epoch !== read.head.epoch) {
		const cut = read.cuts.get(after.epoch)
		if (cut === undefined || after.seq > cut) return 'epoch'
	} else if (after.seq > read.head.seq) return 'future'
	const complete = read.channels.every((channel, n) => isComplete(channel, from[n] ?? 0, read.floor))
	return complete ? undefined : 'trimmed'
}

function list(value: unknown): readonly unknown[] {
	if (!Array.isArray(value)) throw new TypeError('Redis gave something that is not the log.')
	return value
}

function text(value: unknown): string {
	if (typeof value !== 'string') throw new TypeError('Redis gave something that is not the log.')
	return value
}

function number(value: unknown): number {
	const parsed = Number(value)
	if (!Number.isSafeInteger(parsed)) throw new TypeError('Redis gave something that is not the log.')
	return parsed
}

import {
	EvUnavailableError,
	type LogPage,
	type LogPosition,
	type LogStart,
	type ResetReason,
} from '@evstream/core'
import { ChannelMerge } from './channel-merge.js'
import type { LogRead, ReadLog } from './read-reply.js'
import type { Wanted } from './read-slice.js'

/** How often a page is begun again because the log began another epoch meanwhile. */
const ATTEMPTS = 3

/** How long a channel is kept for clients that come back, in ms; `undefined` if nothing is. */
export type TtlOf = (name: string) => number | undefined

/** A page of the log: complete, or nothing. */
export async function readPage(
	readLog: ReadLog,
	names: readonly string[],
	start: LogStart,
	ttlOf: TtlOf,
): Promise<LogPage> {
	const wanted = names.map((name) => wantedOf(name, start, ttlOf(name)))
	for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
		const page = await readMerged(readLog, wanted, start)
		if (page !== undefined) return page
	}
	throw new EvUnavailableError('The log began one epoch after the other.')
}

/** Reads until there is something to return. `undefined`: another epoch began meanwhile. */
async function readMerged(
	readLog: ReadLog,
	wanted: readonly Wanted[],
	start: LogStart,
): Promise<LogPage | undefined> {
	const merge = new ChannelMerge(wanted)
	for (;;) {
		const read = await readLog(merge.next())
		if (!merge.add(read)) return undefined
		const upTo = merge.end ?? read.head
		const reset = 'after' in start ? unusable(start.after, read) : undefined
		if (reset !== undefined) return { upTo: read.head, entries: [], more: false, reset }
		if (merge.gaps().length > 0) return { upTo, entries: [], more: false, reset: 'trimmed' }
		const entries = merge.take()
		const last = entries.at(-1)
		if (merge.isFinished) return { upTo, entries, more: false }
		if (last !== undefined) {
			const since = 'after' in start ? start.since : merge.starts()
			return { upTo: { epoch: last.epoch, seq: last.seq }, entries, more: true, since }
		}
	}
}

function wantedOf(name: string, start: LogStart, ttl: number | undefined): Wanted {
	if ('last' in start) {
		const { last } = start
		const count = typeof last === 'number' ? last : (last.get(name) ?? 0)
		return { name, ttl, from: { last: ttl === undefined ? 0 : Math.min(count, Number.MAX_SAFE_INTEGER) } }
	}
	const { after, since } = start
	const has = Math.max(after.seq, since?.get(name) ?? 0)
	return ttl === undefined ? { name, has, from: { last: 0 } } : { name, ttl, from: has }
}

/** Why the log cannot say what comes after a position. */
function unusable(after: LogPosition, { head, cuts }: LogRead): ResetReason | undefined {
	if (after.epoch === head.epoch) return after.seq > head.seq ? 'future' : undefined
	const cut = cuts.get(after.epoch)
	return cut === undefined || after.seq > cut ? 'epoch' : undefined
}

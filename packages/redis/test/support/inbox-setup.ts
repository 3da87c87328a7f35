import type { LogEntry, LogPosition, ResetReason } from '@evstream/core'
import { Inbox } from '../../src/inbox.js'
import type { LogRead, ReadFrom } from '../../src/log-reader.js'

export interface Read {
	readonly channels: readonly { name: string; from: ReadFrom }[]
	answer(): void
	fail(error: Error): void
}

export interface InboxSetup {
	readonly inbox: Inbox
	readonly delivered: LogEntry[]
	readonly resets: [string, LogPosition, ResetReason][]
	readonly errors: unknown[]
	/** All reads so far. */
	readonly reads: Read[]
	/** `once`: reads are answered at once. `delivered`: runs when an entry is delivered. */
	readonly at: { once: boolean; delivered?: () => void }
	/** Accepts a message; whether the inbox hears of it is the test's decision. */
	append(channel: string): LogEntry
	/** Forgets a channel's entries up to a `seq`. */
	trim(channel: string, upTo: number): void
	open(...channels: string[]): void
	/** The server starts again, with what it had up to `known`, or empty. */
	restart(known?: number): void
}

/** The numbers of entries, in their order. */
export const seqs = (entries: readonly LogEntry[]): number[] => entries.map(({ seq }) => seq)

/** One turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** An inbox on a log that the test writes and whose reads the test answers. */
export function setUp(): InboxSetup {
	let epoch = 'one'
	let cuts = new Map<string, number>()
	let seq = 0
	let log: LogEntry[] = []
	const delivered: LogEntry[] = []
	const resets: [string, LogPosition, ResetReason][] = []
	const errors: unknown[] = []
	const reads: Read[] = []
	const at: InboxSetup['at'] = { once: true }
	const trimmed = new Map<string, number>()

	const look = (channels: Read['channels'], limit: number): LogRead => ({
		head: { epoch, seq },
		floor: 0,
		cuts,
		channels: channels.map(({ name, from }) => {
			const all = log.filter(({ channel }) => channel === name)
			const kept = all
				.filter((entry) => entry.seq > (trimmed.get(name) ?? 0))
				.map((entry) => ({ ...entry, epoch }))
			const entries =
				typeof from === 'number'
					? kept.filter((entry) => entry.seq > from).slice(0, limit)
					: kept.slice(kept.length - from.last)
			return { last: all.at(-1)?.seq, entries, more: entries.length >= limit }
		}),
	})
	const inbox = new Inbox(
		{
			deliver: (entry) => {
				delivered.push(entry)
				at.delivered?.()
			},
			reset: (channel, position, reason) => resets.push([channel, position, reason]),
			direct: () => {},
			error: (error) => errors.push(error),
		},
		(channels, limit) => {
			// What an answer holds is decided when Redis runs the script, which is when the test answers.
			return new Promise((resolve, reject) => {
				const read: Read = {
					channels,
					answer: () => resolve(look(channels, limit)),
					fail: reject,
				}
				reads.push(read)
				if (at.once) read.answer()
			})
		},
	)
	return {
		inbox,
		delivered,
		resets,
		errors,
		reads,
		at,
		append(channel: string): LogEntry {
			const prev = log.findLast((entry) => entry.channel === channel)?.seq ?? 0
			const entry: LogEntry = { channel, epoch, seq: ++seq, prev, payload: `data:${seq}\n\n` }
			log.push(entry)
			return entry
		},
		open(...channels: string[]): void {
			for (const channel of channels) {
				inbox.opening(channel)
				inbox.opened(channel, { epoch, seq })
			}
		},
		trim(channel: string, upTo: number): void {
			trimmed.set(channel, upTo)
		},
		restart(known?: number): void {
			cuts = known === undefined ? new Map() : new Map([[epoch, known]])
			seq = known ?? 0
			log = log.filter((entry) => entry.seq <= seq)
			epoch = `${epoch}+`
		},
	}
}

import type { LogEntry, LogPosition, ResetReason } from '@evstream/core'
import { Inbox } from '../../src/inbox.js'
import type { LogRead, ReadChannel, ReadRequest } from '../../src/read-reply.js'

export interface Read {
	readonly channels: readonly ReadChannel[]
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
	/** `once`: reads are answered at once. The others run when an entry is delivered, or a channel is reset. */
	readonly at: { once: boolean; delivered?: () => void; reset?: () => void }
	/** Accepts a message; whether the inbox hears of it is the test's decision. */
	append(channel: string): LogEntry
	/** Forgets a channel's entries up to a `seq`. */
	trim(channel: string, upTo: number): void
	open(...channels: string[]): void
	/** The server starts again, with what it had up to `known`, or empty. */
	restart(known?: number): void
	/** Takes a silent channel off the list: the log only knows that it had nothing after this. */
	forget(channel: string): void
	/** Where the inbox said that it has delivered everything. */
	readonly caughtUp: LogPosition[]
	/** Compares as a verification does. */
	check(...channels: string[]): void
}

/** How many entries of a channel a read brings. */
const PAGE = 1_000

/** The numbers of entries, in their order. */
export const seqs = (entries: readonly LogEntry[]): number[] => entries.map(({ seq }) => seq)

/** One turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** An inbox on a log that the test writes and whose reads the test answers. */
export function setUp(): InboxSetup {
	let epoch = 'one'
	let cuts = new Map<string, number>()
	let seq = 0
	let floor = 0
	const forgotten = new Set<string>()
	const caughtUp: LogPosition[] = []
	let log: LogEntry[] = []
	const delivered: LogEntry[] = []
	const resets: [string, LogPosition, ResetReason][] = []
	const errors: unknown[] = []
	const reads: Read[] = []
	const at: InboxSetup['at'] = { once: true }
	const trimmed = new Map<string, number>()

	const look = ({ channels, bound = seq }: ReadRequest): LogRead => ({
		head: { epoch, seq },
		floor,
		cuts,
		channels: channels.map(({ name, from }) => {
			const all = log.filter(({ channel }) => channel === name)
			const last = forgotten.has(name) ? floor : (all.at(-1)?.seq ?? floor)
			const kept = all
				.filter((entry) => entry.seq > (trimmed.get(name) ?? 0))
				.map((entry) => ({ ...entry, epoch }))
			const end = Math.min(bound, seq)
			const start = typeof from === 'number' ? from : end
			const entries = kept.filter((entry) => entry.seq > start && entry.seq <= end).slice(0, PAGE)
			const upTo = entries.length < PAGE ? end : (entries.at(-1)?.seq ?? end)
			const link = upTo < end ? undefined : (kept.find((entry) => entry.seq > end)?.prev ?? last)
			return { start, todo: undefined, upTo, link, entries }
		}),
	})
	const inbox = new Inbox(
		{
			deliver: (entry) => {
				delivered.push(entry)
				at.delivered?.()
			},
			reset: (channel, position, reason) => {
				resets.push([channel, position, reason])
				at.reset?.()
			},
			direct: () => {},
			error: (error) => errors.push(error),
			caughtUp: (position) => caughtUp.push(position),
		},
		{
			read: (request) =>
				// What an answer holds is decided when Redis runs the script, which is when the test answers.
				new Promise((resolve, reject) => {
					const read: Read = {
						channels: request.channels,
						answer: () => resolve(look(request)),
						fail: reject,
					}
					reads.push(read)
					if (at.once) read.answer()
				}),
			ttl: () => undefined,
			failed: (error) => errors.push(error),
			wentBack: () => {},
		},
	)
	return {
		inbox,
		delivered,
		resets,
		errors,
		reads,
		at,
		caughtUp,
		check(...channels) {
			const wanted = channels.map((name): ReadChannel => ({ name, from: { last: 0 } }))
			inbox.check(channels, look({ channels: wanted }))
		},
		forget(channel) {
			forgotten.add(channel)
			floor = seq
		},
		append(channel: string): LogEntry {
			const last = log.findLast((entry) => entry.channel === channel)?.seq ?? floor
			const prev = forgotten.delete(channel) ? floor : last
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

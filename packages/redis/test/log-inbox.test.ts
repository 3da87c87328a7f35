import type { LogEntry, LogPosition, ResetReason } from '@evstream/core'
import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { Inbox } from '../src/inbox.js'
import type { LogRead, ReadFrom } from '../src/log-reader.js'

interface Read {
	readonly channels: readonly { name: string; from: ReadFrom }[]
	answer(): void
	fail(error: Error): void
}

/** An inbox on a log that the test writes and whose reads the test answers. */
function setUp() {
	let epoch = 'one'
	let cuts = new Map<string, number>()
	let seq = 0
	let log: LogEntry[] = []
	const delivered: LogEntry[] = []
	const resets: [string, LogPosition, ResetReason][] = []
	const errors: unknown[] = []
	const reads: Read[] = []
	/** Reads are answered at once. */
	const at = { once: true }

	const look = (channels: Read['channels'], limit: number): LogRead => ({
		head: { epoch, seq },
		floor: 0,
		cuts,
		channels: channels.map(({ name, from }) => {
			const all = log.filter(({ channel }) => channel === name)
			const entries =
				typeof from === 'number'
					? all.filter((entry) => entry.seq > from).slice(0, limit)
					: all.slice(all.length - from.last)
			return { last: all.at(-1)?.seq, entries, more: entries.length >= limit }
		}),
	})
	const inbox = new Inbox(
		{
			deliver: (entry) => delivered.push(entry),
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
		/** The server starts again, with what it had up to `known`, or empty. */
		restart(known?: number): void {
			cuts = known === undefined ? new Map() : new Map([[epoch, known]])
			seq = known ?? 0
			log = log.filter((entry) => entry.seq <= seq)
			epoch = `${epoch}+`
		},
	}
}

const seqs = (entries: readonly LogEntry[]): number[] => entries.map(({ seq }) => seq)
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('Inbox', () => {
	it('delivers the next, drops the seen, and fills a hole before anything later', async () => {
		const { inbox, open, append, delivered, resets } = setUp()
		open('a', 'b')
		const [first, missed, other, third] = [append('a'), append('a'), append('b'), append('a')]
		inbox.receive([first, first])
		inbox.receive([other, third, other])
		await until(() => delivered.length === 4)
		// `b` was not lost, so it could come at once; the hole of `a` comes before what follows it.
		expect(seqs(delivered)).toEqual([1, 3, 2, 4])
		expect(missed.seq).toBe(2)
		expect(resets).toEqual([])
		expect(inbox.counters.repairedHoles).toBe(1)
	})

	it('repairs any number of channels in the order of the log', async () => {
		const { inbox, open, append, delivered } = setUp()
		const names = Array.from({ length: 1_200 }, (_, n) => `c${n}`)
		open(...names)
		inbox.lost()
		for (const name of names.toReversed()) append(name)
		for (const name of names) append(name)
		inbox.restored()
		await until(() => delivered.length === 2_400)
		expect(seqs(delivered)).toEqual(Array.from({ length: 2_400 }, (_, n) => n + 1))
	})

	it('goes on in order when the log moves between two reads of one repair', async () => {
		const { inbox, open, append, delivered, reads, at } = setUp()
		const names = Array.from({ length: 600 }, (_, n) => `c${n}`)
		open(...names)
		inbox.lost()
		append('c0')
		at.once = false
		inbox.restored()
		reads[0]?.answer()
		await until(() => reads.length === 2)
		// Of these the first read saw nothing, and the second one only that of the second half.
		inbox.receive([append('c1'), append('c599')])
		at.once = true
		reads[1]?.answer()
		await until(() => delivered.length === 3)
		expect(seqs(delivered)).toEqual([1, 2, 3])
	})

	it('loses nothing when more arrives during a repair than it holds', async () => {
		const { inbox, open, append, delivered, reads, at } = setUp()
		open('a', 'b')
		append('a')
		at.once = false
		inbox.receive([append('a')])
		await until(() => reads.length === 1)
		const answer = reads[0]
		// The answer was given before all this happened.
		answer?.answer()
		const late: LogEntry[] = []
		for (let n = 0; n < 20_000; n++) late.push(append('a'))
		const quiet = append('b')
		inbox.receive([...late, quiet])
		at.once = true
		await turn()
		for (const read of reads) read.answer()
		await until(() => delivered.some(({ seq }) => seq === quiet.seq))
		expect(seqs(delivered)).toEqual(Array.from({ length: quiet.seq }, (_, n) => n + 1))
	})

	it('takes nothing before all channels are back, also if it was lost while it repaired', async () => {
		const { inbox, open, append, delivered, reads, at } = setUp()
		open('a', 'b')
		at.once = false
		append('a')
		inbox.receive([append('a')])
		await until(() => reads.length === 1)
		inbox.lost()
		reads[0]?.answer()
		await turn()
		const missed = append('b')
		// `a` is subscribed again, `b` is not yet.
		const early = append('a')
		inbox.receive([early])
		at.once = true
		inbox.restored()
		await until(() => delivered.some(({ seq }) => seq === early.seq))
		expect(seqs(delivered)).toEqual([1, 2, missed.seq, early.seq])
	})

	it('repairs a channel that was being opened while the subscriber was lost', async () => {
		const { inbox, append, delivered } = setUp()
		inbox.opening('a')
		const head = { epoch: 'one', seq: 0 }
		inbox.lost()
		append('a')
		inbox.restored()
		await turn()
		expect(inbox.opened('a', head)).toEqual(head)
		await until(() => delivered.length === 1)
	})

	it('repairs a channel that was opened while a repair ran', async () => {
		const { inbox, open, append, delivered, reads, at } = setUp()
		open('a')
		inbox.opening('b')
		at.once = false
		inbox.lost()
		append('a')
		append('b')
		inbox.restored()
		await until(() => reads.length === 1)
		inbox.opened('b', { epoch: 'one', seq: 0 })
		at.once = true
		for (const read of reads) read.answer()
		await until(() => delivered.length === 2)
		expect(seqs(delivered)).toEqual([1, 2])
	})

	it('drops an entry of an epoch the log does not know, after one look', async () => {
		const { inbox, open, append, delivered, reads } = setUp()
		open('a')
		inbox.receive([{ channel: 'a', epoch: 'forged', seq: 7, prev: 6, payload: 'data:x\n\n' }])
		for (let n = 0; n < 20; n++) await turn()
		expect(reads.length).toBeLessThan(3)
		inbox.receive([append('a')])
		await until(() => delivered.length === 1)
		expect(seqs(delivered)).toEqual([1])
	})

	it('goes on in a new epoch from where the server knew the old one', async () => {
		const { inbox, open, append, delivered, resets, restart } = setUp()
		open('a')
		inbox.receive([append('a'), append('a')])
		restart(2)
		inbox.receive([append('a')])
		await until(() => delivered.length === 3)
		expect(delivered.map(({ epoch, seq }) => `${epoch} ${seq}`)).toEqual(['one 1', 'one 2', 'one+ 3'])
		expect(resets).toEqual([])
	})

	it('takes the numbers of lost messages again after a server that lost them', async () => {
		const { inbox, open, append, delivered, resets, restart } = setUp()
		open('a')
		inbox.receive([append('a'), append('a'), append('a')])
		restart(1)
		inbox.receive([append('a')])
		await until(() => delivered.length === 4)
		expect(seqs(delivered)).toEqual([1, 2, 3, 2])
		expect(resets).toEqual([])
	})

	it('resets every channel when the server knows nothing of its epoch', async () => {
		const { inbox, open, append, delivered, resets, restart } = setUp()
		open('a', 'b')
		inbox.receive([append('a')])
		restart()
		inbox.receive([append('b')])
		await until(() => delivered.length === 2)
		expect(resets).toEqual([
			['a', { epoch: 'one+', seq: 0 }, 'epoch'],
			['b', { epoch: 'one+', seq: 0 }, 'epoch'],
		])
	})

	it('tries a failed repair again', async () => {
		const { inbox, open, append, delivered, errors, reads, at } = setUp()
		open('a')
		at.once = false
		inbox.lost()
		append('a')
		inbox.restored()
		await until(() => reads.length === 1)
		at.once = true
		reads[0]?.fail(new Error('away'))
		await until(() => delivered.length === 1)
		expect(errors).toEqual([new Error('away')])
	})
})

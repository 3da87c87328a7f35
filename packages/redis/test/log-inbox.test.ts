import type { LogEntry } from '@evstream/core'
import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { seqs, setUp, turn } from './support/inbox-setup.js'

describe('Inbox', () => {
	it('delivers the next, drops the seen, and fills a hole before anything later', async () => {
		const { inbox, open, append, delivered, resets } = setUp()
		open('a', 'b')
		const [first, missed, other, third] = [append('a'), append('a'), append('b'), append('a')]
		inbox.receive([first, other, third])
		await until(() => delivered.length === 4)
		// Redis delivers what a repair has read already.
		inbox.lost()
		const seen = [append('b'), append('a')]
		inbox.restored()
		await until(() => delivered.length === 6)
		inbox.receive([...seen, append('a')])
		// `b` was not lost, so it could come at once; the hole of `a` comes before what follows it.
		expect(seqs(delivered)).toEqual([1, 3, 2, 4, 5, 6, 7])
		expect(missed.seq).toBe(2)
		expect(resets).toEqual([])
		expect(inbox.counters.repairedHoles).toBe(1)
	})

	it('goes on at the head, after one reset, when numbers are given out again', async () => {
		const { inbox, open, append, delivered, resets, reads, caughtUp } = setUp()
		open('a', 'b')
		inbox.receive([append('a'), append('b'), append('a')])
		const again = { channel: 'b', epoch: 'one', seq: 2, prev: 0, payload: 'data:again\n\n' }
		inbox.receive([again, { ...again, channel: 'a', seq: 3, prev: 1 }])
		await until(() => caughtUp.length > 0)
		expect(resets).toEqual([
			['a', { epoch: 'one', seq: 3 }, 'epoch'],
			['b', { epoch: 'one', seq: 3 }, 'epoch'],
		])
		const looked = reads.length
		inbox.receive([append('a'), append('b')])
		expect(seqs(delivered)).toEqual([1, 2, 3, 4, 5])
		expect(reads).toHaveLength(looked)
	})

	it('takes again what a server gives out again that knows less than it says', async () => {
		const { inbox, open, append, delivered, resets, restart } = setUp()
		open('a', 'b')
		inbox.receive([append('a'), append('b'), append('a'), append('a')])
		// It has 3 entries by the time of the new epoch, of which it gave out the last two again.
		restart(3)
		inbox.receive([{ channel: 'b', epoch: 'one', seq: 2, prev: 0, payload: 'data:again\n\n' }])
		await until(() => delivered.length === 6)
		expect(delivered.slice(4).map(({ epoch, seq }) => `${epoch} ${seq}`)).toEqual(['one+ 2', 'one+ 3'])
		expect(resets).toEqual([])
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

	it('repairs a channel that began to open while the subscriber was lost', async () => {
		const { inbox, open, append, delivered } = setUp()
		open('b')
		inbox.lost()
		inbox.opening('a')
		inbox.restored()
		await turn()
		append('a')
		inbox.opened('a', { epoch: 'one', seq: 0 })
		await until(() => delivered.length === 1)
		expect(seqs(delivered)).toEqual([1])
	})

	it('tells a channel of which the log has not everything, once, and goes on after it', async () => {
		const { inbox, open, append, delivered, resets, trim } = setUp()
		open('a', 'b')
		inbox.lost()
		for (const channel of ['a', 'a', 'b', 'a']) append(channel)
		trim('a', 2)
		inbox.restored()
		await until(() => delivered.length === 1)
		expect(resets).toEqual([['a', { epoch: 'one', seq: 4 }, 'gap']])
		inbox.receive([append('a')])
		expect(seqs(delivered)).toEqual([3, 5])
		expect(inbox.counters).toEqual({ received: 1, repairedHoles: 0, resets: 1 })
	})

	it('begins an opened channel after what it saw while it opened', () => {
		const { inbox, append, delivered } = setUp()
		inbox.opening('a')
		inbox.receive([append('a'), append('a')])
		expect(inbox.opened('a', { epoch: 'one', seq: 1 })).toEqual({ epoch: 'one', seq: 2 })
		inbox.receive([append('a')])
		expect(seqs(delivered)).toEqual([3])
	})

	it('delivers nothing of a channel that was given up, also not from a repair', async () => {
		const { inbox, open, append, delivered, resets, reads, at, trim } = setUp()
		open('a', 'b', 'c')
		at.once = false
		append('a')
		append('c')
		trim('c', 2)
		const late = append('a')
		inbox.receive([late])
		inbox.forget('a')
		inbox.forget('c')
		append('b')
		reads[0]?.answer()
		await until(() => delivered.length === 1)
		inbox.receive([append('a')])
		expect(delivered.map(({ channel }) => channel)).toEqual(['b'])
		expect(resets).toEqual([])
		expect(inbox.opened('a', { epoch: 'one', seq: 9 })).toEqual({ epoch: 'one', seq: 9 })
		expect(reads).toHaveLength(1)
	})

	it('reads a long gap page by page, and no more often than it must', async () => {
		const { inbox, open, append, delivered, reads } = setUp()
		open('a')
		inbox.lost()
		for (let n = 0; n < 2_500; n++) append('a')
		inbox.restored()
		await until(() => delivered.length === 2_500)
		for (let n = 0; n < 20; n++) await turn()
		expect(seqs(delivered)).toEqual(Array.from({ length: 2_500 }, (_, n) => n + 1))
		expect(reads).toHaveLength(3)
	})

	it('reads nothing while it follows no channel', async () => {
		const { inbox, reads } = setUp()
		inbox.lost()
		inbox.restored()
		await turn()
		expect(reads).toEqual([])
	})

	it('neither reads nor resets a channel that is only opening', async () => {
		const { inbox, open, append, delivered, resets, reads, trim } = setUp()
		open('a')
		inbox.opening('b')
		for (const channel of ['b', 'b', 'a']) append(channel)
		trim('b', 1)
		inbox.receive([append('a')])
		await until(() => delivered.length === 2)
		expect(reads.map(({ channels }) => channels.map(({ name }) => name))).toEqual([['a']])
		expect(resets).toEqual([])
	})

	it('delivers nothing of a channel that was given up and begins to open again while it is read', async () => {
		const { inbox, open, append, delivered, resets, reads, at } = setUp()
		open('a', 'b')
		at.once = false
		append('a')
		inbox.receive([append('a')])
		append('b')
		inbox.forget('a')
		inbox.opening('a')
		reads[0]?.answer()
		await until(() => delivered.length === 1)
		expect(delivered.map(({ channel }) => channel)).toEqual(['b'])
		expect(resets).toEqual([])
	})

	it('takes for the next what has nothing of its channel between it and where the log stood', () => {
		const { inbox, open, append, delivered, reads } = setUp()
		append('b')
		open('a')
		inbox.receive([append('a')])
		expect(seqs(delivered)).toEqual([2])
		expect(reads).toEqual([])
	})

	it('that was closed delivers nothing', () => {
		const { inbox, open, append, delivered } = setUp()
		open('a')
		inbox.close()
		inbox.receive([append('a')])
		expect(delivered).toEqual([])
	})
})

describe('Inbox, about silent channels', () => {
	it('sees no hole in one that was forgotten and began again during a repair', async () => {
		const { inbox, open, append, forget, delivered, resets, reads, at } = setUp()
		open('a', 'quiet')
		at.once = false
		inbox.lost()
		for (let n = 0; n < 1_500; n++) append('a')
		inbox.restored()
		reads[0]?.answer()
		await until(() => reads.length === 2)
		forget('quiet')
		const again = append('quiet')
		inbox.receive([again])
		at.once = true
		reads[1]?.answer()
		await until(() => delivered.length === 1_501)
		expect(resets).toEqual([])
		expect(reads).toHaveLength(2)
	})

	it('sees no hole in one that was forgotten after a check', async () => {
		const { inbox, open, append, forget, delivered, resets, reads, check, caughtUp } = setUp()
		open('a', 'quiet')
		inbox.receive([append('a'), append('a')])
		check('a', 'quiet')
		inbox.caughtUp({ epoch: 'one', seq: 2 })
		expect(caughtUp).toEqual([{ epoch: 'one', seq: 2 }])
		expect(inbox.lowest).toBe(2)
		forget('quiet')
		inbox.receive([append('quiet')])
		expect(seqs(delivered)).toEqual([1, 2, 3])
		expect([...resets, ...reads]).toEqual([])
	})

	it('reads what has not arrived at the second check, and not at the first', async () => {
		const { inbox, open, append, delivered, reads, check, caughtUp } = setUp()
		open('a', 'b')
		append('a')
		check('a', 'b')
		inbox.caughtUp({ epoch: 'one', seq: 1 })
		expect([...reads, ...caughtUp]).toEqual([])
		check('a', 'b')
		await until(() => delivered.length === 1)
		expect(caughtUp).toEqual([{ epoch: 'one', seq: 1 }])
		expect(inbox.lowest).toBe(1)
	})

	it('does not read what came late', async () => {
		const { inbox, open, append, delivered, reads, check } = setUp()
		open('a')
		for (let n = 0; n < 5; n++) {
			const late = append('a')
			check('a')
			inbox.receive([late])
		}
		check('a')
		await turn()
		expect(seqs(delivered)).toEqual([1, 2, 3, 4, 5])
		expect(reads).toEqual([])
	})

	it('finds out about a new epoch in which nothing arrived', async () => {
		const { open, resets, check, restart } = setUp()
		open('a')
		restart()
		check('a')
		await until(() => resets.length === 1)
		expect(resets).toEqual([['a', { epoch: 'one+', seq: 0 }, 'epoch']])
	})

	it('says that it has delivered everything when a repair has ended, and never too early', async () => {
		const { inbox, open, append, delivered, caughtUp, reads, at } = setUp()
		open('a', 'b')
		inbox.lost()
		at.once = false
		for (let n = 0; n < 1_500; n++) append('a')
		inbox.caughtUp({ epoch: 'one', seq: 0 })
		inbox.restored()
		reads[0]?.answer()
		await until(() => delivered.length === 1_000)
		inbox.caughtUp({ epoch: 'one', seq: 1_500 })
		expect(caughtUp).toEqual([])
		at.once = true
		reads[1]?.answer()
		await until(() => caughtUp.length === 1)
		expect(caughtUp).toEqual([{ epoch: 'one', seq: 1_500 }])
		expect(delivered).toHaveLength(1_500)
	})
})

describe('Inbox, what one outage costs', () => {
	it('is one position for all channels with a hole, behind everything before it', async () => {
		const { inbox, open, append, delivered, resets, trim } = setUp()
		const names = Array.from({ length: 1_200 }, (_, n) => `c${n}`)
		open(...names, 'whole')
		inbox.lost()
		for (const name of names) append(name)
		for (let n = 0; n < 1_500; n++) append('whole')
		for (const name of names) trim(name, 1_200)
		inbox.restored()
		await until(() => resets.length === 1_200)
		expect(delivered).toHaveLength(1_500)
		expect(new Set(resets.map(([, position]) => position)).size).toBe(1)
		expect(resets[0]).toEqual(['c0', { epoch: 'one', seq: 2_700 }, 'gap'])
	})

	it('is no second reset when of a new epoch not all is kept', async () => {
		const { inbox, open, append, delivered, resets, trim, restart } = setUp()
		open('a', 'b')
		inbox.receive([append('a')])
		inbox.lost()
		restart()
		for (let n = 0; n < 10; n++) append('a')
		append('b')
		trim('a', 5)
		trim('b', 11)
		inbox.restored()
		await until(() => delivered.length === 6)
		const position = { epoch: 'one+', seq: 0 }
		expect(resets).toEqual([
			['a', position, 'epoch'],
			['b', position, 'epoch'],
		])
		expect(resets[0]?.[1]).toBe(resets[1]?.[1])
		// The next hole is another outage.
		inbox.lost()
		append('a')
		trim('a', 12)
		append('a')
		inbox.restored()
		await until(() => resets.length === 3)
		expect(resets[2]).toEqual(['a', { epoch: 'one+', seq: 13 }, 'gap'])
	})

	it('lets others have turns while it delivers, and while it resets', async () => {
		const { inbox, open, append, delivered, resets, restart, caughtUp, at } = setUp()
		const names = Array.from({ length: 400 }, (_, n) => `c${n}`)
		open(...names)
		let turns = 0
		let counting = true
		const count = (): void => {
			turns++
			if (counting) setImmediate(count)
		}
		// A receiver that takes a tenth of a millisecond for each.
		at.delivered = () => {
			const end = performance.now() + 0.1
			while (performance.now() < end);
		}
		inbox.lost()
		for (const name of names) append(name)
		inbox.restored()
		setImmediate(count)
		await until(() => delivered.length === 400)
		counting = false
		expect(turns).toBeGreaterThan(3)
		// Lost amid the resets of an epoch, it tells the rest, and none twice.
		restart()
		at.reset = () => {
			if (resets.length === 10) inbox.lost()
		}
		append('c0')
		inbox.lost()
		inbox.restored()
		await until(() => resets.length >= 10)
		delete at.reset
		inbox.restored()
		const told = caughtUp.length
		await until(() => caughtUp.length > told)
		expect(resets.map(([name]) => name)).toEqual(names)
		expect(delivered.at(-1)?.epoch).toBe('one+')
	})

	it('is told once of one outage, however many rounds its repair takes', async () => {
		const { inbox, open, append, trim, delivered, resets, reads, caughtUp, at } = setUp()
		open('a', 'b')
		inbox.receive([append('a')])
		inbox.lost()
		append('a')
		trim('a', append('a').seq)
		at.once = false
		inbox.restored()
		// More arrives than the queue holds, and is not kept either.
		const late = Array.from({ length: 10_001 }, () => append('a'))
		inbox.receive(late)
		reads[0]?.answer()
		await until(() => reads.length === 2)
		trim('a', append('a').seq)
		const quiet = append('b')
		expect(resets).toEqual([])
		expect(caughtUp).toEqual([])
		at.once = true
		for (const read of reads) read.answer()
		await until(() => caughtUp.length === 1)
		expect(resets).toEqual([['a', { epoch: 'one', seq: quiet.seq }, 'gap']])
		expect(seqs(delivered)).toEqual([1, quiet.seq])
		inbox.receive([append('a')])
		expect(delivered).toHaveLength(3)
	})

	it('ends although messages go on coming all the time', async () => {
		const { inbox, open, append, delivered, at, reads } = setUp()
		open('a', 'b')
		inbox.lost()
		at.once = false
		for (let n = 0; n < 5_000; n++) append('a')
		inbox.restored()
		for (let n = 0; delivered.length < 5_000 + 1_000 * n; n++) {
			// As many as a read brings come while it reads.
			for (let k = 0; k < 1_000; k++) inbox.receive([append('b')])
			reads.at(-1)?.answer()
			await turn()
			if (n > 20) throw new Error('It does not end.')
		}
		expect(reads.length).toBeLessThanOrEqual(7)
		expect(seqs(delivered)).toEqual(Array.from({ length: delivered.length }, (_, n) => n + 1))
	})
})

import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { seqs, setUp, turn } from './support/inbox-setup.js'

describe('Inbox, when an epoch begins', () => {
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

	it('gets what it missed of the old epoch, as far as the server still knows it', async () => {
		const { inbox, open, append, delivered, resets, restart } = setUp()
		open('a', 'b')
		inbox.receive([append('a')])
		const missed = [append('a'), append('b'), append('a')]
		restart(4)
		inbox.receive([append('b')])
		await until(() => delivered.length === 5)
		expect(seqs(delivered)).toEqual([1, ...seqs(missed), 5])
		expect(resets).toEqual([])
	})

	it('numbers each channel from where it stood, or from where the server lost it', async () => {
		const { inbox, open, append, delivered, resets, restart } = setUp()
		open('a', 'b')
		// `a` stands at 1, before the cut at 2; `b` at 3, after it.
		const [first, , third] = [append('a'), append('a'), append('b')]
		inbox.receive([first, third])
		restart(2)
		inbox.receive([append('b')])
		await until(() => delivered.length === 4)
		expect(delivered.map(({ channel, seq }) => `${channel} ${seq}`)).toEqual(['a 1', 'b 3', 'a 2', 'b 3'])
		expect(resets).toEqual([])
	})

	it('resets only what is open, and counts it', async () => {
		const { inbox, open, append, delivered, resets, restart } = setUp()
		open('a')
		inbox.opening('b')
		inbox.receive([append('a')])
		restart()
		inbox.receive([append('a')])
		await until(() => delivered.length === 2)
		expect(resets).toEqual([['a', { epoch: 'one+', seq: 0 }, 'epoch']])
		expect(inbox.counters).toEqual({ received: 2, repairedHoles: 0, resets: 1 })
	})

	it('takes over the epoch of a channel that is opened when it stands on no other', async () => {
		const { inbox, open, append, delivered, resets, reads, restart } = setUp()
		open('a')
		inbox.receive([append('a')])
		inbox.forget('a')
		inbox.opening('c')
		restart()
		open('b')
		inbox.receive([append('b')])
		await turn()
		expect(delivered.map(({ channel, epoch, seq }) => `${channel} ${epoch} ${seq}`)).toEqual([
			'a one 1',
			'b one+ 1',
		])
		expect(reads).toEqual([])
		expect(resets).toEqual([])
	})

	it('looks into the log when a channel is opened in another one than the others stand in', async () => {
		const { inbox, open, append, delivered, resets, restart } = setUp()
		open('a')
		inbox.receive([append('a')])
		restart()
		// Nothing of the new epoch has arrived: the head of `b` is the first that tells of it.
		open('b')
		await until(() => resets.length === 2)
		expect(resets).toEqual([
			['a', { epoch: 'one+', seq: 0 }, 'epoch'],
			['b', { epoch: 'one+', seq: 0 }, 'epoch'],
		])
		inbox.receive([append('a'), append('b')])
		await until(() => delivered.length === 3)
		expect(seqs(delivered)).toEqual([1, 1, 2])
	})

	it('begins a channel at the head of its epoch, whatever number arrived of the one before', () => {
		const { inbox, append, open, restart } = setUp()
		open('a')
		inbox.opening('b')
		inbox.receive([append('a'), append('a'), append('b')])
		restart()
		expect(inbox.opened('b', { epoch: 'one+', seq: 1 })).toEqual({ epoch: 'one+', seq: 1 })
	})

	it('lets go of what waited of the one before', async () => {
		const { inbox, open, append, delivered, reads, at, restart } = setUp()
		open('a')
		at.once = false
		const [, second] = [append('a'), append('a')]
		inbox.receive([second])
		await until(() => reads.length === 1)
		restart(0)
		inbox.receive([append('a')])
		at.once = true
		reads[0]?.answer()
		await until(() => delivered.length === 1)
		for (let n = 0; n < 20; n++) await turn()
		expect(delivered.map(({ epoch, seq }) => `${epoch} ${seq}`)).toEqual(['one+ 1'])
		expect(reads.length).toBeLessThan(5)
	})

	it('keeps what came of it while the log was read, although the answer was of the one before', async () => {
		const { inbox, open, append, delivered, resets, reads, at, restart } = setUp()
		open('a')
		at.once = false
		append('a')
		inbox.receive([append('a')])
		reads[0]?.answer()
		restart()
		inbox.receive([append('a')])
		at.once = true
		await until(() => delivered.length === 3)
		expect(delivered.map(({ epoch, seq }) => `${epoch} ${seq}`)).toEqual(['one 1', 'one 2', 'one+ 1'])
		expect(resets).toEqual([['a', { epoch: 'one+', seq: 0 }, 'epoch']])
	})
})

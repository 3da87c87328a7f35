import { describe, expect, it } from 'vitest'
import type { PeerRecord } from '../src/peer-messages.js'
import { after, setUp, turn } from './peer-setup.js'

describe('of two records of a name', () => {
	it('the later one counts, in whatever order they come', () => {
		const { receive, local } = setUp()
		receive({ type: 'remove', channel: 'a', ...after(20) })
		receive({ type: 'create', channel: 'a', initial: 1, ...after(10) })
		expect(local.follow).not.toHaveBeenCalled()
		receive({ type: 'create', channel: 'a', initial: 3, ...after(30) })
		expect(local.follow).toHaveBeenLastCalledWith('a', '3')
		receive({ type: 'remove', channel: 'a', ...after(25) })
		expect(local.drop).toHaveBeenCalledTimes(1)
		receive({ type: 'states', states: [{ channel: 'a', present: false, ...after(31) }] })
		expect(local.drop).toHaveBeenCalledTimes(2)
	})

	it('of the same time the one of the greater instance counts, everywhere the same', () => {
		const messages = [
			{ type: 'create', channel: 'a', initial: 1, ...after(10, 'm') },
			{ type: 'remove', channel: 'a', ...after(10, 'n') },
		]
		for (const order of [messages, messages.toReversed()]) {
			const { receive, local } = setUp()
			for (const message of order) receive(message)
			expect(local.has('a')).toBe(false)
		}
		const { receive, local } = setUp()
		receive({ type: 'create', channel: 'a', initial: 1, ...after(10) })
		local.drop('a')
		receive({ type: 'create', channel: 'a', initial: 1, ...after(10) })
		expect(local.follow).toHaveBeenCalledTimes(1)
	})

	it('one that is made here is later than all that was heard of, also if the clock went back', async () => {
		const { receive, create, remove, news } = setUp()
		await turn()
		news()
		const ahead = Date.now() + 60_000
		receive({ type: 'create', channel: 'other', initial: 1, time: ahead, by: 'x' })
		create('a')
		remove('a')
		const times = news().map((message) => Reflect.get(message, 'time'))
		expect(times).toEqual([ahead + 1, ahead + 2])
	})

	it('one without a time is taken for made now', async () => {
		const { receive, local, news, answer } = setUp()
		await turn()
		news()
		receive({ type: 'create', channel: 'a', initial: 5 })
		expect(local.follow).toHaveBeenCalledExactlyOnceWith('a', '5')
		receive({ type: 'remove', channel: 'a' })
		expect(local.drop).toHaveBeenCalledTimes(1)
		receive({ type: 'sync', digest: '' })
		const [record] = (await answer()).states
		expect(Math.abs(Number(record?.time) - Date.now())).toBeLessThan(10_000)
	})

	it('a state that is there already is not made again', () => {
		const { receive, create, local } = setUp()
		create('a')
		receive({ type: 'create', channel: 'a', initial: 2, ...after(1_000) })
		expect(local.follow).not.toHaveBeenCalled()
	})
})

describe('the memory of removals', () => {
	const present = ({ states }: { states: readonly PeerRecord[] }): Map<string, boolean> =>
		new Map(states.map(({ channel, present: is }) => [channel, is]))

	it('is bounded, oldest first, and never costs a state that there is', async () => {
		const { receive, news, answer, create, local } = setUp()
		await turn()
		create('kept')
		const states = Array.from({ length: 10_001 }, (_, n) => ({
			channel: `r${n}`,
			present: false,
			...after(n),
		}))
		receive({ type: 'states', states })
		await turn()
		news()
		receive({ type: 'sync', digest: '' })
		const known = present(await answer())
		expect(known.size).toBe(10_001)
		expect(known.get('kept')).toBe(true)
		expect(known.has('r0')).toBe(false)
		expect(known.get('r1')).toBe(false)
		expect(known.get('r10000')).toBe(false)
		// What was forgotten may come back by a late message, what is remembered may not.
		receive({ type: 'create', channel: 'r1', initial: 1, ...after(0) })
		expect(local.follow).not.toHaveBeenCalled()
	})

	it('ends after a week', async () => {
		const { receive, news, answer } = setUp()
		await turn()
		const week = 7 * 86_400_000
		receive({ type: 'remove', channel: 'old', ...after(-week - 60_000) })
		receive({ type: 'remove', channel: 'young', ...after(60_000 - week) })
		receive({ type: 'create', channel: 'kept', initial: 1, ...after(-2 * week) })
		receive({ type: 'remove', channel: 'new', ...after(0) })
		news()
		receive({ type: 'sync', digest: '' })
		expect([...present(await answer()).keys()].sort()).toEqual(['kept', 'new', 'young'])
	})
})

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

	it('one that is made here is later than what was heard of its name, also if the clock went back', async () => {
		const { receive, create, remove, news } = setUp()
		await turn()
		news()
		const ahead = Date.now() + 60_000
		receive({ type: 'create', channel: 'a', initial: 1, time: ahead, by: 'x' })
		create('a')
		remove('a')
		const times = news().map((message) => Reflect.get(message, 'time'))
		expect(times).toEqual([ahead + 1, ahead + 2])
	})

	it('one that is made here does not follow the clock of another name', async () => {
		const { receive, create, news } = setUp()
		await turn()
		news()
		receive({ type: 'create', channel: 'other', initial: 1, time: Date.now() + 60_000, by: 'x' })
		create('a')
		const [made] = news()
		// Otherwise an instance with a clock a day behind would take in nothing that is made here.
		expect(Number(Reflect.get(Object(made), 'time')) - Date.now()).toBeLessThan(30_000)
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

	it('drops the oldest by their stamps, in whatever order they came', async () => {
		const { receive, news, answer } = setUp()
		await turn()
		const removal = (n: number): PeerRecord => ({ channel: `r${n}`, present: false, ...after(n) })
		const late = [10, 3, 7]
		const others = Array.from({ length: 10_003 }, (_, n) => n).filter((n) => !late.includes(n))
		receive({ type: 'states', states: [...others, ...late].map(removal) })
		news()
		receive({ type: 'sync', digest: '' })
		const { states, floor } = await answer()
		expect(states).toHaveLength(10_000)
		expect(Math.min(...states.map(({ time }) => time))).toBe(after(3).time)
		expect(floor).toEqual(after(2))
		// What was forgotten is not taken in again, from whomever it comes.
		receive({ type: 'states', states: [removal(0), removal(1), removal(2)] })
		receive({ type: 'sync', digest: '' })
		expect(await answer()).toEqual({ type: 'states', states, digest: expect.any(String), floor })
	})

	it('ends up the same on two instances of which each missed removals, and then they are silent', async () => {
		const [one, two] = [setUp(), setUp()]
		await turn()
		for (let n = 0; n < 12_000; n++) {
			const removal = { type: 'remove', channel: `r${n}`, ...after(n) }
			if (n % 2 === 0 || n > 11_000) one.receive(removal)
			if (n % 3 !== 0 || n < 500) two.receive(removal)
		}
		const exchange = async (): Promise<number> => {
			one.news()
			two.news()
			one.restore()
			let messages = 0
			for (let quiet = performance.now(); performance.now() - quiet < 300; ) {
				await turn()
				const [told, replied] = [one.news(), two.news()]
				for (const message of told) two.receive(message)
				for (const message of replied) one.receive(message)
				if (told.length + replied.length > 0) quiet = performance.now()
				messages += told.length + replied.length
			}
			return messages
		}
		expect(await exchange()).toBeGreaterThan(2)
		// One forgot more than the other knows to be too many: the floor tells.
		one.receive({ type: 'create', channel: 'r11999', initial: 1, ...after(13_000) })
		two.receive({ type: 'create', channel: 'r11999', initial: 1, ...after(13_000) })
		two.receive({ type: 'remove', channel: 'further', ...after(13_001) })
		two.receive({ type: 'remove', channel: 'more', ...after(13_002) })
		await exchange()
		// The question alone.
		expect(await exchange()).toBe(1)
	})

	it('ends up to the floor that another instance tells, without holding the event loop', async () => {
		const { receive, news, answer } = setUp()
		await turn()
		const states = Array.from({ length: 10_000 }, (_, n) => ({
			channel: `r${n}`,
			present: false,
			...after(n),
		}))
		receive({ type: 'states', states })
		news()
		const begun = performance.now()
		receive({ type: 'sync', digest: '', floor: after(9_998) })
		expect(performance.now() - begun).toBeLessThan(100)
		expect(await answer()).toMatchObject({ states: [{ channel: 'r9999' }], floor: after(9_998) })
	})

	it('lets a removal that comes below the floor still remove what there is', async () => {
		const { receive, local, create, remove, news } = setUp()
		await turn()
		receive({ type: 'create', channel: 'a', initial: 1, ...after(5) })
		receive({ type: 'sync', digest: '', floor: after(60_000) })
		receive({ type: 'remove', channel: 'a', ...after(10) })
		expect(local.has('a')).toBe(false)
		// A removal that is made here is above the floor, so that it is remembered.
		create('b')
		news()
		remove('b')
		expect(news()).toMatchObject([{ type: 'remove', channel: 'b', time: after(60_001).time }])
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

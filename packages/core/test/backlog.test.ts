import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Backlog } from '../src/backlog.js'
import { Frame } from '../src/frame.js'
import { nextTurn } from './support/streams-slow.js'

const MAX = 1_000_000
const ROOM = 65_536

/** Turns after which what was accepted before could have been taken. */
async function later(): Promise<void> {
	for (let turn = 0; turn < 4; turn++) await nextTurn()
}

/** A client that takes nothing, and what waits for it. */
function client(maxBuffer = MAX) {
	const backlog = new Backlog()
	let waiting = 0
	return {
		backlog,
		get waiting() {
			return waiting
		},
		offer(length: number, starved = false): boolean {
			const accepted = backlog.accepts(waiting, length, maxBuffer, starved)
			if (accepted) waiting += length
			return accepted
		},
		take(length: number) {
			waiting -= length
		},
	}
}

describe('a client that is offered bytes', () => {
	it('is owed all that one turn brings, whatever it is', () => {
		const { offer } = client()
		for (let n = 0; n < 100; n++) expect(offer(MAX)).toBe(true)
	})

	it('is not judged by what a compressor has not passed on yet', async () => {
		const { offer } = client()
		for (let n = 0; n < 10; n++) {
			expect(offer(MAX, true)).toBe(true)
			await later()
		}
		// What the compressor passed on a moment ago has a turn to leave.
		expect(offer(MAX)).toBe(true)
		await later()
		expect(offer(MAX)).toBe(false)
	})

	it('is judged by what a compressor has not passed on for a second', async () => {
		vi.useFakeTimers({ toFake: ['performance'] })
		onTestFinished(() => void vi.useRealTimers())
		const { offer } = client()
		expect(offer(MAX, true)).toBe(true)
		await later()
		vi.advanceTimersByTime(900)
		expect(offer(MAX, true)).toBe(true)
		await later()
		vi.advanceTimersByTime(101)
		expect(offer(MAX, true)).toBe(false)
	})

	it('is owed maxBuffer at most when all of it is older', async () => {
		const slow = client()
		for (let n = 0; n < 10; n++) {
			expect(slow.offer(MAX / 10)).toBe(true)
			await later()
		}
		expect(slow.waiting).toBe(MAX)
		expect(slow.offer(1)).toBe(false)
	})

	it('is owed a message of any size while at most half of maxBuffer is older', async () => {
		for (const [old, accepted] of [
			[MAX / 2, true],
			[MAX / 2 + 1, false],
		] as const) {
			const slow = client()
			slow.offer(old)
			await later()
			// A look: what was accepted before is not fresh any more.
			slow.offer(0)
			await later()
			expect(slow.offer(10 * MAX)).toBe(accepted)
		}
	})

	it('is judged by what was accepted two turns ago and more, not by the turn before', async () => {
		const slow = client()
		slow.offer(MAX)
		// The first offer of the next turn: the client had no whole turn to take it.
		await nextTurn()
		expect(slow.offer(MAX)).toBe(true)
		await later()
		expect(slow.offer(MAX)).toBe(false)
	})

	it('is judged by what was accepted many turns ago, also if it was offered nothing since', async () => {
		const [slow, other] = [client(), client()]
		slow.offer(MAX)
		for (let n = 0; n < 3; n++) {
			await later()
			other.offer(1)
		}
		expect(slow.offer(MAX)).toBe(false)
	})

	it('may be owed half of maxBuffer more until a burst has drained', async () => {
		const slow = client()
		slow.offer(5 * MAX)
		await later()
		slow.offer(0)
		await later()
		let more = 0
		while (slow.offer(10_000)) {
			more += 10_000
			await later()
		}
		expect(more).toBeGreaterThan(MAX / 2 - 20_000)
		expect(more).toBeLessThanOrEqual(MAX / 2)
		// It takes some of it: so much may follow.
		slow.take(100_000)
		expect(slow.offer(100_000)).toBe(true)
		await later()
		expect(slow.offer(10_000)).toBe(false)
	})

	it('may be owed 64 KiB more if half of maxBuffer is less', async () => {
		const slow = client(1_000)
		slow.offer(50_000)
		await later()
		slow.offer(0)
		await later()
		expect(slow.offer(ROOM)).toBe(true)
		await later()
		slow.offer(0)
		await later()
		expect(slow.offer(1_000)).toBe(false)
	})

	it('is owed maxBuffer at most again once a burst has drained', async () => {
		const slow = client()
		slow.offer(5 * MAX)
		slow.take(5 * MAX)
		slow.backlog.drained()
		for (let n = 0; n < 10; n++) {
			await later()
			slow.offer(MAX / 10)
		}
		await later()
		expect(slow.waiting).toBe(MAX)
		expect(slow.offer(10)).toBe(false)
	})
})

describe('the newest frame of a channel', () => {
	it('is taken once', () => {
		const backlog = new Backlog()
		const channel = {}
		const frame = new Frame('data:1\n\n')
		backlog.replaceNewest(channel, frame)
		expect([...backlog.takeNewest()]).toEqual([[channel, frame]])
		expect([...backlog.takeNewest()]).toEqual([])
	})
})

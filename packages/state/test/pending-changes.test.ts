import type { StoredState } from '@evstream/core'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { Outlet } from '../src/outlet.js'
import { type Flight, PendingChanges } from '../src/pending-changes.js'
import { settings } from '../src/settings.js'
import type { EvStateSettings } from '../src/types.js'
import { ValueRules } from '../src/value-rules.js'
import { FakeManager } from './support.js'

const DEADLINE = 1_000

beforeEach(() => {
	vi.useFakeTimers()
	return () => void vi.useRealTimers()
})

const add =
	(n: number) =>
	(value: number): number =>
		value + n

function setUp(options: EvStateSettings = {}, onEquals: () => void = () => {}) {
	const onError = vi.fn()
	const checked = settings({ deadline: DEADLINE, ...options, onError })
	const outlet = new Outlet<number>(new FakeManager(), 's', checked)
	const pending = new PendingChanges<number>(
		's',
		new ValueRules<number>('s', outlet, (a, b) => {
			onEquals()
			return a === b
		}),
		checked,
		0,
	)
	const outcomes: string[] = []
	const change = (name: string, run: (value: number) => number): void => {
		pending.add(run).then(
			(value) => outcomes.push(`${name}: ${value}`),
			(error: Error) => outcomes.push(`${name}: ${Reflect.get(error, 'code')}`),
		)
	}
	const takeOff = (): Flight<number> => {
		pending.takeOff(stored(1))
		if (!pending.flight) throw new Error('nothing took off')
		return pending.flight
	}
	return { pending, onError, outcomes, change, takeOff, settle: () => vi.advanceTimersByTimeAsync(0) }
}

function stored(version: number): StoredState {
	return { version, stamp: `other.${version}`, born: 'other.1', value: '0' }
}

describe('changes that wait', () => {
	it('count with those on their way towards the most that may wait', () => {
		const { pending, change, takeOff } = setUp({ maxPending: 3 })
		change('a', add(1))
		change('b', add(1))
		takeOff()
		pending.refuseOverflow(1)
		change('c', add(1))
		pending.obstacle = new Error('away')
		expect(() => pending.refuseOverflow(1)).toThrow(
			expect.objectContaining({ code: 'EV_UNAVAILABLE', cause: pending.obstacle }),
		)
	})

	it('are bounded by memory when values are large, but a hundred of them always may', () => {
		const { pending, change } = setUp()
		const mega = 1024 * 1024
		for (let n = 0; n < 99; n++) change('x', add(1))
		pending.refuseOverflow(100 * mega)
		change('x', add(1))
		expect(() => pending.refuseOverflow(100 * mega)).toThrow('100 changes')
		// 64 MiB of values of a quarter MiB.
		pending.refuseOverflow(mega / 4)
		for (let n = 0; n < 156; n++) change('x', add(1))
		expect(() => pending.refuseOverflow(mega / 4)).toThrow('256 changes')
		pending.refuseOverflow(1)
	})

	it('are seen on top of what overtook the flight, and so are those that come then', async () => {
		const { pending, change, takeOff, outcomes, settle } = setUp()
		change('a', add(1))
		const flight = takeOff()
		change('b', add(10))
		expect(pending.head()).toBe(11)
		pending.rebase(100, false)
		expect(pending.head()).toBe(111)
		change('c', add(1_000))
		expect(pending.head()).toBe(1_111)
		pending.rebase(200, false)
		expect(pending.head()).toBe(1_211)
		pending.landed(flight)
		await settle()
		expect(outcomes).toEqual(['a: 1'])
		// It had been committed before what overtook it.
		expect(pending.head()).toBe(1_210)
		takeOff()
		expect(pending.flight?.json).toBe('1210')
	})

	it('are run again on what was faster, under a new number', () => {
		const { pending, change, takeOff } = setUp()
		change('a', add(1))
		const first = takeOff()
		change('b', add(10))
		pending.rebase(100, false)
		expect(pending.head()).toBe(111)
		pending.refused()
		expect(pending.flight).toBeUndefined()
		expect(pending.head()).toBe(111)
		const second = takeOff()
		expect(second).toMatchObject({ json: '111', stale: false, inDoubt: false })
		expect(second.id.writer).toBe(first.id.writer)
		expect(second.id.number).toBeGreaterThan(first.id.number)
		expect(second.stamp).toBe(`${second.id.writer}.${second.id.number}`)
	})

	it('need no write when they come to the value that there is', () => {
		const { change, takeOff, pending } = setUp()
		change('up', add(1))
		change('down', add(-1))
		expect(takeOff().json).toBeUndefined()
		pending.landed(pending.flight ?? takeOff())
		expect(pending.any).toBe(false)
	})

	it('leave one base behind the flight that made it', async () => {
		const { pending, change, takeOff, outcomes, settle } = setUp()
		change('a', add(1))
		const flight = takeOff()
		change('b', add(10))
		pending.rebase(1, true)
		expect(flight.stale).toBe(false)
		pending.landed(flight)
		expect(pending.head()).toBe(11)
		expect(takeOff().json).toBe('11')
		await settle()
		expect(outcomes).toEqual(['a: 1'])
	})
})

describe('a change that asks for the value', () => {
	it('gets the one before it, and no change is run twice', async () => {
		const { pending, change, takeOff, outcomes, settle } = setUp()
		const asked: number[] = []
		change('a', add(1))
		change('b', () => {
			asked.push(pending.head())
			return pending.head() + 1
		})
		change('c', (value) => value * 2)
		pending.landed(takeOff())
		await settle()
		expect(asked).toEqual([1])
		expect(outcomes).toEqual(['a: 1', 'b: 2', 'c: 4'])
		expect(pending.head()).toBe(4)
	})

	it('gets it also on top of what overtook a flight', () => {
		const { pending, change, takeOff } = setUp()
		change('a', add(1))
		takeOff()
		change('b', () => pending.head() + 10)
		pending.rebase(100, false)
		expect(pending.head()).toBe(111)
		expect(pending.head()).toBe(111)
	})

	it('gets it also if it brings a new committed value, and is run on that', () => {
		const { pending, change } = setUp()
		let runs = 0
		change('a', () => {
			if (runs++ === 0) pending.rebase(100, false)
			return pending.head() + 1
		})
		pending.takeOff(stored(1))
		expect(pending.flight).toBeUndefined()
		expect(pending.head()).toBe(101)
		expect(runs).toBe(2)
	})

	it('gets it also from equals', () => {
		const heads: number[] = []
		const { pending, change, takeOff } = setUp({}, () => heads.push(pending.head()))
		change('a', add(1))
		change('b', add(1))
		expect(takeOff().json).toBe('2')
		expect(heads).toEqual([0, 1, 2])
	})
})

describe('a flight in doubt', () => {
	it('stays as it is when it is the turn of another instance', () => {
		const { pending, change, takeOff } = setUp()
		change('a', add(1))
		const flight = takeOff()
		flight.inDoubt = true
		pending.postponed()
		expect(pending.flight).toBe(flight)
		flight.inDoubt = false
		pending.postponed()
		expect(pending.flight).toBeUndefined()
		expect(pending.any).toBe(true)
	})
})

describe('the deadline of a change', () => {
	it('is its own, whatever waited before it', async () => {
		const { pending, change, outcomes, onError } = setUp()
		change('a', add(1))
		await vi.advanceTimersByTimeAsync(600)
		change('b', add(10))
		await vi.advanceTimersByTimeAsync(399)
		expect(outcomes).toEqual([])
		await vi.advanceTimersByTimeAsync(1)
		expect(outcomes).toEqual(['a: EV_UNAVAILABLE'])
		expect(onError.mock.lastCall?.[0]).toMatchObject({
			message: expect.stringMatching(/does not take effect/),
		})
		expect(pending.head()).toBe(10)
		await vi.advanceTimersByTimeAsync(599)
		expect(outcomes).toHaveLength(1)
		await vi.advanceTimersByTimeAsync(1)
		expect(outcomes).toEqual(['a: EV_UNAVAILABLE', 'b: EV_UNAVAILABLE'])
		expect(onError).toHaveBeenCalledTimes(2)
		expect(pending.any).toBe(false)
		expect(vi.getTimerCount()).toBe(0)
		change('c', add(100))
		await vi.advanceTimersByTimeAsync(DEADLINE)
		expect(outcomes.at(-1)).toBe('c: EV_UNAVAILABLE')
	})

	it('rejects alone what is late of a flight, whose other changes go on', async () => {
		const { pending, change, takeOff, outcomes, settle, onError } = setUp()
		change('a', add(1))
		await vi.advanceTimersByTimeAsync(500)
		change('b', add(10))
		const flight = takeOff()
		await vi.advanceTimersByTimeAsync(500)
		expect(onError.mock.lastCall?.[0]).toMatchObject({
			message: expect.stringMatching(/may still take effect/),
		})
		expect(outcomes).toEqual(['a: EV_UNAVAILABLE'])
		expect(pending.flight).toBe(flight)
		pending.landed(flight)
		await settle()
		// It was on its way together with `a`, which so took effect.
		expect(outcomes).toEqual(['a: EV_UNAVAILABLE', 'b: 11'])
		expect(vi.getTimerCount()).toBe(0)
	})

	it('gives a flight up once all of its changes were late', async () => {
		const { pending, change, takeOff, outcomes } = setUp()
		change('a', add(1))
		takeOff()
		await vi.advanceTimersByTimeAsync(500)
		change('b', add(10))
		await vi.advanceTimersByTimeAsync(500)
		expect(outcomes).toEqual(['a: EV_UNAVAILABLE'])
		expect(pending.flight).toBeUndefined()
		expect(pending.head()).toBe(10)
	})

	it('is waited for no longer once everything landed, and from the first change on again', async () => {
		const { pending, change, takeOff, outcomes } = setUp()
		change('a', add(1))
		pending.landed(takeOff())
		expect(vi.getTimerCount()).toBe(0)
		await vi.advanceTimersByTimeAsync(900)
		change('b', add(1))
		expect(vi.getTimerCount()).toBe(1)
		await vi.advanceTimersByTimeAsync(DEADLINE - 1)
		expect(outcomes).toEqual(['a: 1'])
		await vi.advanceTimersByTimeAsync(1)
		expect(outcomes).toEqual(['a: 1', 'b: EV_UNAVAILABLE'])
	})

	it('still counts for what came during a flight that landed', async () => {
		const { pending, change, takeOff, outcomes, onError } = setUp()
		change('a', add(1))
		const flight = takeOff()
		await vi.advanceTimersByTimeAsync(400)
		change('b', add(1))
		pending.landed(flight)
		expect(vi.getTimerCount()).toBe(1)
		await vi.advanceTimersByTimeAsync(999)
		expect(outcomes).toEqual(['a: 1'])
		expect(onError).not.toHaveBeenCalled()
		await vi.advanceTimersByTimeAsync(1)
		expect(outcomes).toEqual(['a: 1', 'b: EV_UNAVAILABLE'])
		expect(onError).toHaveBeenCalledTimes(1)
	})

	it('says whether other instances were faster or the store did not answer, by what happened last', async () => {
		const { pending, change, takeOff, outcomes, onError } = setUp()
		change('a', add(1))
		takeOff()
		pending.refused()
		await vi.advanceTimersByTimeAsync(DEADLINE)
		expect(outcomes).toEqual(['a: EV_CONFLICT'])
		change('b', add(1))
		takeOff()
		pending.refused()
		pending.landed(takeOff())
		change('c', add(1))
		await vi.advanceTimersByTimeAsync(DEADLINE)
		expect(outcomes.slice(1)).toEqual(['b: 1', 'c: EV_UNAVAILABLE'])
		expect(onError.mock.lastCall?.[0]).toMatchObject({ cause: undefined })
		change('d', add(1))
		pending.obstacle = new Error('away')
		await vi.advanceTimersByTimeAsync(DEADLINE)
		expect(onError.mock.lastCall?.[0]).toMatchObject({ cause: new Error('away') })
	})
})

describe('everything that is cleared', () => {
	it('is given back to be rejected, and nothing of it stays', async () => {
		const { pending, change, takeOff, onError } = setUp()
		change('a', add(1))
		takeOff()
		change('b', add(10))
		pending.rebase(100, false)
		expect(pending.head()).toBe(111)
		const waiting = pending.clear()
		expect(waiting).toHaveLength(2)
		expect(pending.flight).toBeUndefined()
		expect(pending.any).toBe(false)
		expect(pending.head()).toBe(100)
		expect(vi.getTimerCount()).toBe(0)
		for (const one of waiting) one.reject(new Error('closed'))
		await vi.advanceTimersByTimeAsync(DEADLINE)
		expect(onError).not.toHaveBeenCalled()
	})
})

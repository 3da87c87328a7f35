import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { Outlet } from '../src/outlet.js'
import { PendingChanges } from '../src/pending-changes.js'
import { settings } from '../src/settings.js'
import { ValueRules } from '../src/value-rules.js'
import { FakeManager } from './support.js'

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

/** Whether something that nobody should hold any more is still held. */
async function isHeld(ref: WeakRef<object>): Promise<boolean> {
	for (let n = 0; n < 5; n++) {
		// A WeakRef keeps its target until the turn is over.
		await new Promise((resolve) => setImmediate(resolve))
		if (typeof collect === 'function') collect()
		if (ref.deref() === undefined) return false
	}
	return true
}

beforeEach(() => {
	vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
	return () => void vi.useRealTimers()
})

function setUp() {
	const checked = settings({ deadline: 1_000, onError: () => {} })
	const outlet = new Outlet<number>(new FakeManager(), 's', checked)
	const pending = new PendingChanges<number>(
		's',
		new ValueRules<number>('s', outlet, (a, b) => a === b),
		checked,
		0,
	)
	onTestFinished(() => void pending.clear())
	/** A change, and a reference to what its function holds. */
	const change = (): WeakRef<object> => {
		const held = { n: 1 }
		pending.add((value) => value + held.n).catch(() => {})
		return new WeakRef(held)
	}
	/** A flight that was overtaken, and looked at. */
	const overtaken = () => {
		change()
		pending.takeOff({ version: 1, stamp: 'x.1', born: 'x.1', value: '0' })
		const { flight } = pending
		if (!flight) throw new Error('nothing took off')
		pending.rebase(100, false)
		expect(pending.head()).toBe(101)
		return flight
	}
	return { pending, change, overtaken }
}

/** In a function of its own: what an async one has touched stays on its stack. */
function close(pending: PendingChanges<number>): void {
	for (const waiting of pending.clear()) waiting.reject(new Error('closed'))
}

describe('what is held of changes that were decided', () => {
	it('is nothing after their deadline, although a flight had been overtaken before them and landed', async () => {
		const { pending, change, overtaken } = setUp()
		pending.landed(overtaken())
		const ref = change()
		vi.advanceTimersByTime(1_000)
		expect(await isHeld(ref)).toBe(false)
		expect(pending.any).toBe(false)
	})

	it('is nothing after their deadline, although a flight had been overtaken before them and refused', async () => {
		const { pending, change, overtaken } = setUp()
		overtaken()
		pending.refused()
		const ref = change()
		vi.advanceTimersByTime(1_000)
		expect(await isHeld(ref)).toBe(false)
		expect(pending.any).toBe(false)
	})

	it('is nothing after the state was closed', async () => {
		const { pending, change, overtaken } = setUp()
		overtaken()
		const ref = change()
		close(pending)
		expect(await isHeld(ref)).toBe(false)
		expect(pending.head()).toBe(100)
	})
})

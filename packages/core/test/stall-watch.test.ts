import { describe, expect, it } from 'vitest'
import { StallWatch } from '../src/stall-watch.js'
import type { Transport } from '../src/transport.js'

/** A watch over a client whose progress the test makes. */
function watch(timeout: number) {
	const client = { taken: 0, owed: true, stalls: 0 }
	const transport: Pick<Transport, 'progress'> = { progress: () => client.taken }
	const stallWatch = new StallWatch(
		transport as Transport,
		timeout,
		() => client.owed,
		() => void client.stalls++,
	)
	/** Calls it when it is due, until it has nothing to wait for; the times of the calls. */
	const run = (from: number, most: number): number[] => {
		const times: number[] = []
		for (let due: number | undefined = from; due !== undefined && times.length < most; ) {
			times.push(due)
			due = stallWatch.onDue(due)
		}
		return times
	}
	return { client, stallWatch, run }
}

describe('a watch over a client that is owed bytes', () => {
	it('says once that it has stalled, after five more looks', () => {
		const { client, run } = watch(1_000)
		expect(run(1_000, 100)).toEqual([1_000, 1_010, 1_020, 1_030, 1_040, 1_050])
		expect(client.stalls).toBe(1)
	})

	it('waits the whole time again, and looks as often again, whenever it has taken something', () => {
		const { client, stallWatch, run } = watch(1_000)
		for (let time = 1_000, n = 0; n < 3; n++) {
			// Nothing until the last look, then something.
			for (let look = 0; look < 5; look++) {
				expect(stallWatch.onDue(time)).toBe(time + 10)
				time += 10
			}
			client.taken++
			expect(stallWatch.onDue(time)).toBe(time + 1_000)
			time += 1_000
		}
		expect(client.stalls).toBe(0)
		expect(run(10_000, 100)).toHaveLength(6)
		expect(client.stalls).toBe(1)
	})

	it('is over when nothing is owed any more', () => {
		const { client, run } = watch(1_000)
		client.owed = false
		expect(run(1_000, 100)).toEqual([1_000])
		expect(client.stalls).toBe(0)
	})
})

import { EvUnavailableError } from '@evstream/core'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { LogReads, type ReadBudget, type ReadLane } from '../src/log-reads.js'

const DEADLINE = 1_000

/** Reads that the test answers. */
function setUp() {
	vi.useFakeTimers({ toFake: ['performance'] })
	onTestFinished(() => void vi.useRealTimers())
	const reads = new LogReads(DEADLINE)
	const begun: { name: string; budget: ReadBudget; answer(): void; fail(error?: Error): void }[] = []
	const outcomes: string[] = []
	return {
		reads,
		begun,
		outcomes,
		ask(lane: ReadLane, name: string): void {
			reads
				.run(lane, (budget) => {
					return new Promise<string>((resolve, reject) => {
						const fail = (error: Error = new EvUnavailableError('late')): void => reject(error)
						begun.push({ name, budget, answer: () => resolve(name), fail })
					})
				})
				.then(
					() => outcomes.push(`${name} done`),
					(error: Error) => outcomes.push(`${name} ${error.message}`),
				)
		},
		/** Lets what was answered go on. */
		settle: () => new Promise((resolve) => setImmediate(resolve)),
	}
}

const BUDGET = { entries: 1_000, bytes: 524_288 }

describe('the reads of an adapter', () => {
	it('are two at a time, and the lanes take turns', async () => {
		const { begun, ask, settle, reads } = setUp()
		for (let n = 0; n < 4; n++) ask('replay', `replay ${n}`)
		for (let n = 0; n < 3; n++) ask('repair', `repair ${n}`)
		ask('watch', 'watch')
		expect(begun).toHaveLength(2)
		for (let n = 0; n < 8; n++) {
			begun[n]?.answer()
			await settle()
			expect(begun.length).toBeLessThanOrEqual(n + 3)
		}
		expect(begun.map(({ name }) => name)).toEqual([
			'replay 0',
			'replay 1',
			'replay 2',
			'repair 0',
			'watch',
			'replay 3',
			'repair 1',
			'repair 2',
		])
		expect(reads.waiting).toBe(0)
	})

	it('bring less after one that missed its deadline, and more again after those that did not', async () => {
		const { begun, ask, settle, reads } = setUp()
		for (const part of [1, 0.5, 0.25]) {
			expect(reads.budget).toEqual({ entries: 1_000 * part, bytes: 524_288 * part })
			ask('repair', 'x')
			begun.at(-1)?.fail()
			await settle()
		}
		for (const part of [0.125, 0.25, 0.5, 1, 1]) {
			ask('repair', 'x')
			expect(begun.at(-1)?.budget).toEqual({ entries: 1_000 * part, bytes: 524_288 * part })
			begun.at(-1)?.answer()
			await settle()
		}
	})

	it('never bring nothing, however many failed', async () => {
		const { begun, ask, settle, reads } = setUp()
		for (let n = 0; n < 30; n++) {
			ask('repair', 'x')
			begun.at(-1)?.fail()
			await settle()
		}
		expect(reads.budget).toEqual({ entries: 16, bytes: 8_192 })
	})

	it('bring no more after one that was answered, but slowly', async () => {
		const { begun, ask, settle, reads } = setUp()
		ask('repair', 'x')
		begun[0]?.fail()
		await settle()
		ask('repair', 'x')
		vi.advanceTimersByTime(DEADLINE / 2)
		begun[1]?.answer()
		await settle()
		expect(reads.budget).toEqual({ entries: 500, bytes: 262_144 })
	})

	it('do not bring less because of an error that is no missed deadline', async () => {
		const { begun, ask, settle, reads } = setUp()
		ask('repair', 'x')
		begun[0]?.fail(new TypeError('odd'))
		await settle()
		expect(reads.budget).toEqual(BUDGET)
	})

	it('wait for their turn as long as others are answered, and fail with one that fails after that', async () => {
		const { begun, outcomes, ask, settle } = setUp()
		for (let n = 0; n < 5; n++) ask('replay', `old ${n}`)
		vi.advanceTimersByTime(DEADLINE * 3)
		begun[0]?.answer()
		await settle()
		expect(outcomes).toEqual(['old 0 done'])
		ask('repair', 'young')
		begun[1]?.fail()
		await settle()
		expect(outcomes.toSorted()).toEqual(['old 0 done', 'old 1 late', 'old 3 late', 'old 4 late'])
		// What has only begun, or came later, goes on.
		begun.at(-1)?.answer()
		begun[2]?.answer()
		await settle()
		expect(outcomes.slice(-2).toSorted()).toEqual(['old 2 done', 'young done'])
	})
})

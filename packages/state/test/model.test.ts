import { MemoryStateStore } from '@evstream/core'
import { until } from '@evstream/testkit'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EvState } from '../src/index.js'
import { FakeManager } from './support.js'
import { UnreliableStore } from './unreliable-store.js'

/** What can happen at an instance. Each change appends its own number, so the value tells which took effect, and when. */
type Action =
	| { readonly kind: 'append' | 'throw' | 'same' | 'clear' }
	| { readonly kind: 'cut' | 'heal' | 'tick' }

const action: fc.Arbitrary<Action> = fc.oneof(
	{ weight: 8, arbitrary: fc.record({ kind: fc.constantFrom('append' as const) }) },
	{
		weight: 3,
		arbitrary: fc.record({ kind: fc.constantFrom('throw' as const, 'same' as const, 'clear' as const) }),
	},
	{
		weight: 3,
		arbitrary: fc.record({ kind: fc.constantFrom('cut' as const, 'heal' as const, 'tick' as const) }),
	},
)

const faults = fc.record({
	unsent: fc.constantFrom(0, 0.1, 0.3),
	unanswered: fc.constantFrom(0, 0.1, 0.3),
	doubled: fc.constantFrom(0, 0.3),
	late: fc.constantFrom(0, 0.3),
	unheard: fc.constantFrom(0, 0.2, 1),
})

const script = fc.array(fc.tuple(fc.nat(2), action), { minLength: 1, maxLength: 60 })

/** A small generator of numbers from 0 to 1, so that a run can be replayed from its seed. */
function seeded(seed: number): () => number {
	let state = seed >>> 0
	return () => {
		state = (state + 0x6d2b79f5) >>> 0
		let mixed = Math.imul(state ^ (state >>> 15), state | 1)
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
	}
}

class Refusal extends Error {}

describe('EvState against a sequential model', () => {
	it('is as if all changes of all instances had happened one after the other', async () => {
		await fc.assert(
			fc.asyncProperty(script, faults, fc.nat(), async (steps, chances, seed) => {
				const store = new MemoryStateStore()
				const random = seeded(seed)
				/** Every committed value, by version: the one history. */
				const history = new Map<number, number[]>()
				store.watch('s', {
					changed: ({ version, value }) => history.set(version, JSON.parse(value)),
					missed: () => {},
				})
				const instances = [0, 1, 2].map(() => {
					const network = new UnreliableStore(store, { ...chances, random })
					const state = new EvState<number[]>({
						channel: 's',
						initialValue: [],
						manager: new FakeManager(),
						adapter: { states: network },
						checkInterval: false,
						onError: () => {},
					})
					const seen: [number, readonly number[]][] = []
					state.subscribe((value, version) => seen.push([version, value]))
					return { network, state, seen }
				})
				const outcomes: Promise<{ appended?: number; value?: number[]; error?: unknown }>[] = []
				let next = 0
				for (const [index, { kind }] of steps) {
					const instance = instances[index]
					if (!instance) continue
					const { network, state } = instance
					if (kind === 'cut') network.away = true
					else if (kind === 'heal') network.reconnected()
					else if (kind === 'tick') await new Promise((resolve) => setImmediate(resolve))
					else {
						const appended = kind === 'append' ? ++next : undefined
						const done = state.set((list) => {
							if (appended !== undefined) list.push(appended)
							if (kind === 'throw') {
								list.push(-1)
								throw new Refusal()
							}
							return kind === 'clear' ? [] : list
						})
						outcomes.push(
							done.then(
								(value) => ({ value, ...(appended !== undefined && { appended }) }),
								(error: unknown) => ({ error }),
							),
						)
					}
				}
				for (const { network } of instances) {
					network.faults = { random, unsent: 0, unanswered: 0, doubled: 0, late: 0, unheard: 0 }
					network.reconnected()
				}
				const settled = await Promise.all(outcomes)
				await Promise.all(instances.map(({ network }) => network.flush()))
				await Promise.all(instances.map(({ state }) => state.ready))
				const final: unknown = JSON.parse(store.read('s')?.value ?? 'null')
				await until(
					() => instances.every(({ state }) => JSON.stringify(state.get()) === JSON.stringify(final)),
					{
						what: 'all instances to agree',
					},
				)
				for (const { state } of instances) state.close()

				// Every change was decided: it took effect right when its promise says, or threw its own error.
				for (const { appended, value, error } of settled) {
					if (error !== undefined) expect(error).toBeInstanceOf(Refusal)
					else if (appended !== undefined) expect(value?.at(-1)).toBe(appended)
				}
				// Nothing was applied twice, and nothing that threw at all.
				const everything = [...history.values()].flatMap((value, at, all) => {
					const before = all[at - 1] ?? []
					const kept = before.every((item, index) => value[index] === item)
					return kept ? value.slice(before.length) : value
				})
				expect(everything).not.toContain(-1)
				expect(new Set(everything).size).toBe(everything.length)
				// Whoever looked saw a part of the one history, in its order.
				for (const { seen } of instances) {
					const versions = seen.map(([version]) => version)
					expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b))
					for (const [version, value] of seen) expect(value).toEqual(history.get(version))
				}
			}),
			{ numRuns: 150 },
		)
	}, 60_000)

	it('counts exactly what was confirmed, however unreliable the network', async () => {
		await fc.assert(
			fc.asyncProperty(faults, fc.nat(), fc.integer({ min: 1, max: 4 }), async (chances, seed, count) => {
				const store = new MemoryStateStore()
				const random = seeded(seed)
				const instances = Array.from({ length: count }, () => {
					const network = new UnreliableStore(store, { ...chances, random })
					const options = { channel: 's', initialValue: 0, manager: new FakeManager() }
					return {
						network,
						state: new EvState<number>({ ...options, adapter: { states: network }, onError: () => {} }),
					}
				})
				const calm = setTimeout(() => {
					for (const { network } of instances)
						network.faults = { ...network.faults, unsent: 0, unanswered: 0 }
				}, 60)
				const all = instances.flatMap(({ state }) =>
					Array.from({ length: 25 }, () => state.set((value) => value + 1)),
				)
				const values = await Promise.all(all)
				clearTimeout(calm)
				for (const { network, state } of instances) {
					network.reconnected()
					await until(() => state.get() === count * 25)
					state.close()
				}
				// Each change has a place of its own.
				expect(values.sort((a, b) => a - b)).toEqual(Array.from({ length: count * 25 }, (_, n) => n + 1))
				expect(store.read('s')?.value).toBe(String(count * 25))
			}),
			{ numRuns: 60 },
		)
	}, 60_000)
})

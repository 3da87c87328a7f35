import { type EvStateAdapter, MemoryStateStore } from '@evstream/core'
import { currentRequest, forgotten, inRequest, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EvState, EvStateManager, type EvStateOptions } from '../src/index.js'
import { FakeManager, LocalPubSub } from './support.js'
import { UnreliableStore } from './unreliable-store.js'

/** Which request each callback ran in. */
type Seen = (string | undefined)[]

function open<T>(initialValue: T, options: Partial<EvStateOptions<T>> = {}): EvState<T> {
	const state = new EvState<T>({
		channel: 's',
		initialValue,
		manager: new FakeManager(),
		checkInterval: false,
		...options,
	})
	onTestFinished(() => state.close())
	return state
}

/** A store that takes so many turns of the event loop each way, at most 3. */
function storage(store = new MemoryStateStore(), delay = 0): { states: UnreliableStore } {
	return { states: new UnreliableStore(store, { random: () => delay / 4 }) }
}

/** Waits until work that was begun has come to rest. */
async function turns(count: number): Promise<void> {
	for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

/** Without an adapter, and with one. */
const kinds: [string, () => EvStateAdapter | undefined][] = [
	['of one process', () => undefined],
	['of several instances', () => storage()],
]

describe.each(kinds)('the functions given to a state %s', (_, adapter) => {
	it('run in the request that gave them, whoever changes the state', async () => {
		const seen: Record<'change' | 'equals' | 'listenerA' | 'listenerB', Seen> = {
			change: [],
			equals: [],
			listenerA: [],
			listenerB: [],
		}
		const equals = (a: number, b: number) => {
			seen.equals.push(currentRequest())
			return a === b
		}
		const state = inRequest('maker', () => open<number>(0, { adapter: adapter(), equals }))
		await state.ready
		inRequest('a', () => state.subscribe(() => seen.listenerA.push(currentRequest())))
		inRequest('b', () => state.subscribe(() => seen.listenerB.push(currentRequest())))
		for (const name of ['c', 'd']) {
			await inRequest(name, () =>
				state.set((value) => {
					seen.change.push(currentRequest())
					return value + 1
				}),
			)
		}
		expect(new Set(seen.equals)).toEqual(new Set(['maker']))
		expect(seen).toMatchObject({ change: ['c', 'd'], listenerA: ['a', 'a'], listenerB: ['b', 'b'] })
	})

	it('report errors in the request that gave onError', async () => {
		const seen: [string | undefined, unknown][] = []
		const onError = (error: unknown) => void seen.push([currentRequest(), error])
		const state = inRequest('maker', () => open(0, { adapter: adapter(), onError }))
		await state.ready
		const [inChange, inListener] = [new Error('change'), new Error('listener')]
		const fail = (error: Error) => (): number => {
			throw error
		}
		inRequest('a', () => state.subscribe(fail(inListener)))
		await expect(inRequest('b', () => state.set(fail(inChange)))).rejects.toBe(inChange)
		await inRequest('c', () => state.set(() => 1))
		expect(seen).toEqual([
			['maker', inChange],
			['maker', inListener],
		])
	})

	it('let set continue in the request that awaits it', async () => {
		const state = open(0, { adapter: adapter() })
		const names = ['a', 'b'].map((name) =>
			inRequest(name, async () => {
				await state.set((value) => value + 1)
				return currentRequest()
			}),
		)
		expect(await Promise.all(names)).toEqual(['a', 'b'])
	})

	it('run in the listener’s request when a listener changes the state', async () => {
		const state = open(0, { adapter: adapter() })
		await state.ready
		const seen: Seen = []
		inRequest('listener', () =>
			state.subscribe((value) => {
				if (value !== 1) return
				state.set((now) => {
					seen.push(currentRequest())
					return now + 1
				})
			}),
		)
		await inRequest('setter', () => state.set(() => 1))
		await until(() => state.get() === 2)
		expect(new Set(seen)).toEqual(new Set(['listener']))
	})
})

describe('changes that are committed together', () => {
	/** A change that says in which request it runs. */
	function change(seen: Seen) {
		return (value: number) => {
			seen.push(currentRequest())
			return value + 1
		}
	}

	it('each run in their own request', async () => {
		const state = open(0, { adapter: storage() })
		await state.ready
		const seen: Seen = []
		await Promise.all(['a', 'b', 'c'].map((name) => inRequest(name, () => state.set(change(seen)))))
		expect(seen).toEqual(['a', 'b', 'c'])
		expect(state.version).toBe(2)
	})

	it('run in their own request again when another instance was faster', async () => {
		const store = new MemoryStateStore()
		const [state, other] = [open(0, { adapter: storage(store, 3) }), open(0, { adapter: storage(store) })]
		await Promise.all([state.ready, other.ready])
		await turns(20)
		const seen: Seen = []
		const done = ['a', 'b'].map((name) => inRequest(name, () => state.set(change(seen))))
		expect(state.get()).toBe(2)
		await inRequest('other', () => other.set((value) => value + 10))
		await Promise.all(done)
		expect(state.get()).toBe(12)
		expect(seen).toEqual(['a', 'b', 'a', 'b'])
	})

	it('run in their own request when another one asks for the value', async () => {
		const state = open(0, { adapter: storage() })
		await state.ready
		const seen: Seen = []
		void inRequest('a', () => state.set(change(seen)))
		expect(inRequest('b', () => state.get())).toBe(1)
		expect(seen).toEqual(['a'])
	})
})

describe('a state manager', () => {
	it('reports in the request that gave onError, also for a state that another request created', async () => {
		const seen: Seen = []
		const adapter = storage()
		const states = inRequest('maker', () => {
			const onError = () => void seen.push(currentRequest())
			return new EvStateManager<{ n: number }>({ manager: new FakeManager(), adapter, onError })
		})
		onTestFinished(() => states.close())
		const state = inRequest('a', () => states.createState('n', 0))
		await state.ready
		inRequest('a', () =>
			state.subscribe(() => {
				throw new Error('subscriber')
			}),
		)
		await inRequest('b', () => state.set(() => 1))
		expect(seen.splice(0)).toEqual(['maker'])
		adapter.states.away = true
		inRequest('b', () => states.removeState('n'))
		await until(() => seen.length > 0)
		expect(new Set(seen)).toEqual(new Set(['maker']))
	})
})

describe('nothing keeps the store of a request', () => {
	it.each(kinds)('that made a state %s', async (_, adapter) => {
		const made: EvState<number>[] = []
		await forgotten(async () => {
			const state = open(0, { adapter: adapter(), checkInterval: 60_000 })
			made.push(state)
			await state.ready
		})
		expect(made[0]?.closed).toBe(false)
	})

	it('that made a state whose store is out of reach', async () => {
		const adapter = storage()
		adapter.states.hangs = true
		const made: EvState<number>[] = []
		await forgotten(() => void made.push(open(0, { adapter })))
		expect(made[0]?.version).toBe(0)
	})

	it.each(kinds)('that changed a state %s', async (_, adapter) => {
		const state = open(0, { adapter: adapter() })
		await forgotten(() => state.set((value) => value + 1))
		expect(state.get()).toBe(1)
	})

	it('whose change began the work that a later change still waits for', async () => {
		const adapter = storage(new MemoryStateStore(), 3)
		const state = open(0, { adapter })
		await state.ready
		await turns(20)
		const later: Promise<number>[] = []
		await forgotten(async () => {
			const first = state.set((value) => value + 1)
			await turns(1)
			later.push(inRequest('later', () => state.set((value) => value + 1)))
			await first
			adapter.states.hangs = true
		})
		expect(state.version).toBe(2)
		expect(state.get()).toBe(2)
		state.close()
		await expect(later[0]).rejects.toMatchObject({ code: 'EV_CLOSED' })
	})

	it('that subscribed, once it is undone', async () => {
		const state = open(0)
		await forgotten(() => state.subscribe(() => {})())
		await state.set(() => 1)
	})

	const registries: [string, () => object][] = [
		['a store', () => ({ adapter: storage() })],
		['a pub/sub', () => ({ pubsub: new LocalPubSub() })],
		['a store and a pub/sub', () => ({ adapter: storage(), pubsub: new LocalPubSub() })],
	]
	it.each(registries)('that made a state manager on %s, and states', async (_, options) => {
		const made: EvStateManager<{ n: number }>[] = []
		const manager = new FakeManager()
		const links = options()
		await forgotten(async () => {
			const states = new EvStateManager<{ n: number }>({ manager, ...links })
			onTestFinished(() => states.close())
			made.push(states)
			await states.createState('n', 0).ready
		})
		expect(made[0]?.hasState('n')).toBe(true)
	})

	it('that removed a state while the store is out of reach', async () => {
		const adapter = storage()
		const states = new EvStateManager<{ n: number }>({ manager: new FakeManager(), adapter })
		onTestFinished(() => states.close())
		await states.createState('n', 0).ready
		adapter.states.hangs = true
		await forgotten(() => states.removeState('n'))
		expect(states.hasState('n')).toBe(false)
	})
})

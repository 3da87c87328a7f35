import { MemoryStateStore } from '@evstream/core'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EvState, type EvStateOptions } from '../src/index.js'
import { load, remove } from './store-helpers.js'
import { FakeManager } from './support.js'
import { UnreliableStore } from './unreliable-store.js'

const closed = { code: 'EV_CLOSED' }

function open(options: Partial<EvStateOptions<number>> = {}) {
	const manager = new FakeManager()
	const state = new EvState<number>({
		channel: 's',
		initialValue: 0,
		manager,
		checkInterval: false,
		...options,
	})
	onTestFinished(() => state.close())
	const seen: number[] = []
	state.subscribe((value) => seen.push(value))
	/** What would have to stay as it is once the state is closed. */
	const told = () => ({
		sent: manager.sent.length,
		seen: [...seen],
		version: state.version,
	})
	return { state, told }
}

/** A state on a store that takes three turns of the event loop each way. */
function shared(store: MemoryStateStore, options: Partial<EvStateOptions<number>> = {}) {
	const network = new UnreliableStore(store, { random: () => 0.75 })
	return { network, ...open({ adapter: { states: network }, ...options }) }
}

async function turns(count: number): Promise<void> {
	for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

describe('a state of one process that is closed', () => {
	it('by a change does not take that change, nor those that wait', async () => {
		const { state, told } = open()
		await state.set(() => 1)
		const before = told()
		const waiting: Promise<number>[] = []
		const change = state.set(() => {
			waiting.push(state.set(() => 3))
			state.close()
			return 2
		})
		await expect(change).rejects.toMatchObject(closed)
		await expect(waiting[0]).rejects.toMatchObject(closed)
		expect(told()).toEqual(before)
		expect(state.get()).toBe(1)
	})

	it('by equals does not take the change', async () => {
		const { state, told } = open({
			equals: () => {
				state.close()
				return false
			},
		})
		const before = told()
		await expect(state.set(() => 1)).rejects.toMatchObject(closed)
		expect(told()).toEqual(before)
		expect(state.get()).toBe(0)
	})

	it('by a subscriber calls no further one, and takes no change that waits', async () => {
		const { state, told } = open()
		const waiting: Promise<number>[] = []
		state.subscribe(() => {
			waiting.push(state.set(() => 2))
			state.close()
		})
		const late: number[] = []
		state.subscribe((value) => late.push(value))
		expect(await state.set(() => 1)).toBe(1)
		await expect(waiting[0]).rejects.toMatchObject(closed)
		expect(late).toEqual([])
		expect(told()).toEqual({ sent: 1, seen: [1], version: 2 })
		expect(state.get()).toBe(1)
	})
})

describe('a state of several instances that is closed', () => {
	/** Each moment of a commit, in turns of the event loop. */
	it.each([0, 1, 2, 3, 4, 5, 6, 7])('%d turns after a change tells nobody about it', async (moment) => {
		const store = new MemoryStateStore()
		const { state, told } = shared(store)
		await state.ready
		await turns(20)
		const change = state.set((value) => value + 1)
		const outcome = change.then(
			() => 'committed',
			() => 'closed',
		)
		await turns(moment)
		const before = told()
		state.close()
		await turns(20)
		expect(told()).toEqual(before)
		expect(state.get()).toBe(before.version - 1)
		// It was confirmed, and then everybody was told, or neither.
		expect(await outcome).toBe(before.version === 2 ? 'committed' : 'closed')
		expect(before.seen).toEqual(before.version === 2 ? [1] : [])
	})

	it.each([0, 1, 2, 3, 4])('%d turns after another instance changed it tells nobody', async (moment) => {
		const store = new MemoryStateStore()
		const [{ state, told }, other] = [shared(store), shared(store)]
		await Promise.all([state.ready, other.state.ready])
		await turns(20)
		void other.state.set(() => 1)
		await turns(moment)
		const before = told()
		state.close()
		await turns(20)
		expect(other.state.get()).toBe(1)
		expect(told()).toEqual(before)
	})

	it.each([0, 1, 2, 3, 4, 5])('%d turns after it began to load tells nobody', async (moment) => {
		const store = new MemoryStateStore()
		load(store, 's', '7')
		const { state, told } = shared(store)
		await turns(moment)
		const before = told()
		expect(before).toEqual({ sent: 0, seen: [], version: 0 })
		state.close()
		await expect(state.ready).rejects.toMatchObject(closed)
		await turns(20)
		expect(told()).toEqual(before)
	})

	it.each([0, 2, 4, 6, 8, 10, 12])(
		'%d turns after its store lost everything tells nobody',
		async (moment) => {
			const store = new MemoryStateStore()
			const { state, network, told } = shared(store)
			await state.set(() => 1)
			await turns(20)
			remove(store, 's')
			load(store, 's', '5')
			network.reconnected()
			await turns(moment)
			const before = told()
			state.close()
			await turns(20)
			expect(told()).toEqual(before)
		},
	)

	it('by a change runs none of the later ones, and sends nothing to the store', async () => {
		const store = new MemoryStateStore()
		const { state, network, told } = shared(store)
		await state.ready
		await turns(20)
		const before = told()
		const ran: string[] = []
		const changes = [
			state.set((value) => {
				ran.push('first')
				state.close()
				return value + 1
			}),
			state.set((value) => {
				ran.push('second')
				return value + 1
			}),
		]
		for (const change of changes) await expect(change).rejects.toMatchObject(closed)
		await turns(20)
		expect(ran).toEqual(['first'])
		expect(network.calls.get('commit')).toBeUndefined()
		expect(told()).toEqual(before)
		expect(state.get()).toBe(0)
	})

	it('by equals takes nothing over', async () => {
		const store = new MemoryStateStore()
		let closing = false
		const { state, told } = shared(store, {
			equals: (a, b) => {
				if (closing) state.close()
				return a === b
			},
		})
		load(store, 's', '5')
		closing = true
		await expect(state.ready).rejects.toMatchObject(closed)
		await turns(20)
		expect(told()).toEqual({ sent: 0, seen: [], version: 0 })
	})

	it('by onError while a commit lands tells nobody', async () => {
		const store = new MemoryStateStore()
		const { state, told } = shared(store, { onError: () => state.close() })
		await state.ready
		await turns(20)
		const before = told()
		const failing = state.set(() => {
			throw new Error('change')
		})
		void state.set(() => 1).catch(() => {})
		await expect(failing).rejects.toThrow('change')
		await turns(20)
		expect(told().seen).toEqual(before.seen)
	})
})

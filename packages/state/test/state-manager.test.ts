import { MemoryStateStore } from '@evstream/core'
import { until } from '@evstream/testkit'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { EvState, EvStateManager, type EvStateManagerOptions } from '../src/index.js'
import { register } from './store-helpers.js'
import { FakeManager } from './support.js'
import { UnreliableStore } from './unreliable-store.js'

interface States {
	count: number
	list: string[]
	[more: `s${number}`]: number
}

const managers: { close(): void }[] = []

afterEach(() => {
	for (const manager of managers.splice(0)) manager.close()
})

function make(options: Partial<EvStateManagerOptions> = {}) {
	const clients = new FakeManager()
	const onError = vi.fn()
	const states = new EvStateManager<States>({
		manager: clients,
		onError,
		checkInterval: false,
		...options,
	})
	managers.push(states)
	return { states, clients, onError }
}

function shared(store: MemoryStateStore, options: Partial<EvStateManagerOptions> = {}) {
	const network = new UnreliableStore(store)
	return { network, ...make({ adapter: { states: network }, ...options }) }
}

function names(store: MemoryStateStore): string[] {
	return (store.list()?.states ?? []).map(({ name }) => name).sort()
}

describe('EvStateManager in one process', () => {
	it('creates, gives, and removes states', async () => {
		const { states, clients } = make()
		expect(states.hasState('count')).toBe(false)
		const count = states.createState('count', 1)
		expect(count).toBeInstanceOf(EvState)
		expect(states.createState('count', 9)).toBe(count)
		expect(states.getState('count')).toBe(count)
		await count.set((value) => value + 1)
		expect(clients.sent).toEqual([{ event: 'count', data: { value: 2 } }])
		states.removeState('count')
		states.removeState('count')
		expect(states.getState('count')).toBeUndefined()
		expect(count.closed).toBe(true)
		expect(states.createState('count', 5).get()).toBe(5)
	})

	it('has types for its keys, and takes them from the value where there are none', () => {
		const { states } = make()
		// @ts-expect-error the value of count is a number
		states.createState('count', 'one')
		// @ts-expect-error no such key
		states.getState('other')
		const untyped = new EvStateManager({ manager: new FakeManager() })
		managers.push(untyped)
		const counter = untyped.createState('user-count', 0)
		counter.set((value) => value + 1)
		expect(counter.get()).toBe(1)
	})

	it('makes its states as it was told, and closes them', () => {
		const { states, clients } = make({ key: 'n', maxSize: 5 })
		const state = states.createState('count', 1)
		expect(clients.snapshot('count')).toEqual({ event: 'count', data: { n: 1 } })
		expect(() => states.createState('list', ['too long'])).toThrow('maxSize')
		expect(states.hasState('list')).toBe(false)
		states.close()
		states.close()
		expect(state.closed).toBe(true)
		expect(() => states.createState('count', 1)).toThrow(expect.objectContaining({ code: 'EV_CLOSED' }))
		expect(() => states.removeState('count')).not.toThrow()
	})

	it('refuses wrong options and keys', () => {
		const manager = new FakeManager()
		// @ts-expect-error no manager
		expect(() => new EvStateManager({})).toThrow(TypeError)
		// @ts-expect-error not a pub/sub
		expect(() => new EvStateManager({ manager, pubsub: {} })).toThrow(TypeError)
		expect(() => new EvStateManager({ manager }).createState('', 1)).toThrow(TypeError)
	})
})

describe('EvStateManager with a store', () => {
	it('creates and removes on all instances, and values are shared', async () => {
		const store = new MemoryStateStore()
		const [a, b, c] = [shared(store), shared(store), shared(store)]
		const onA = a.states.createState('count', 3)
		await until(() => b.states.hasState('count') && c.states.hasState('count'))
		await b.states.getState('count')?.set((value) => value + 1)
		await until(() => onA.get() === 4 && c.states.getState('count')?.get() === 4)
		c.states.removeState('count')
		await until(() => !a.states.hasState('count') && !b.states.hasState('count'))
		expect(onA.closed).toBe(true)
		expect(names(store)).toEqual([])
		expect(store.read('count')).toBeUndefined()
		expect(a.clients.snapshots.size).toBe(0)
	})

	it('gives the same set to an instance that starts later or was cut off', async () => {
		const store = new MemoryStateStore()
		const [a, b] = [shared(store), shared(store)]
		a.states.createState('count', 1)
		a.states.createState('s1', 1)
		await until(() => b.states.hasState('s1') && b.states.getState('count')?.version === 1)
		b.network.away = true
		a.states.removeState('count')
		a.states.createState('list', ['x'])
		await until(() => names(store).join() === 'list,s1')
		const late = shared(store)
		await until(() => late.states.hasState('list'))
		expect(late.states.hasState('count')).toBe(false)
		const stale = b.states.getState('count')?.set((value) => value + 1)
		stale?.catch(() => {})
		expect(b.states.hasState('count')).toBe(true)
		b.network.reconnected()
		await until(() => b.states.hasState('list') && !b.states.hasState('count'))
		await expect(stale).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(names(store)).toEqual(['list', 's1'])
		expect(store.read('count')).toBeUndefined()
	})

	it('does not take a state away that is not yet on the list, and does not forget a removal', async () => {
		const store = new MemoryStateStore()
		const a = shared(store)
		const b = shared(store)
		b.states.createState('s2', 1)
		await until(() => a.states.hasState('s2'))
		a.network.away = true
		const count = a.states.createState('count', 1)
		a.states.removeState('s2')
		b.states.createState('s3', 1)
		await until(() => names(store).join() === 's2,s3')
		a.network.reconnected()
		await until(() => a.states.hasState('s3') && !b.states.hasState('s2') && b.states.hasState('count'))
		expect(a.states.getState('count')).toBe(count)
		expect(a.states.hasState('s2')).toBe(false)
		expect(names(store)).toEqual(['count', 's3'])
	})

	it('keeps the order of removing and creating again', async () => {
		const store = new MemoryStateStore()
		const [a, b] = [shared(store), shared(store)]
		a.states.createState('count', 1)
		await until(() => b.states.hasState('count'))
		await a.states.getState('count')?.set(() => 7)
		a.states.removeState('count')
		const again = a.states.createState('count', 2)
		await again.ready
		expect(again.get()).toBe(2)
		expect(again.version).toBeGreaterThan(2)
		await until(() => b.states.getState('count')?.get() === 2)
		a.states.createState('s1', 1)
		a.states.removeState('s1')
		a.states.createState('s2', 1)
		await until(() => b.states.hasState('s2'))
		expect(names(store)).toEqual(['count', 's2'])
	})

	it('puts values and list back when the store lost both', async () => {
		const store = new MemoryStateStore()
		const [a, b] = [shared(store), shared(store)]
		await a.states.createState('count', 1).set((value) => value + 41)
		await until(() => b.states.getState('count')?.get() === 42)
		const empty = new MemoryStateStore()
		for (const { network } of [a, b]) {
			for (const method of ['look', 'read', 'commit', 'restore', 'list', 'create', 'remove'] as const) {
				Object.assign(network, { [method]: Reflect.get(empty, method).bind(empty) })
			}
			network.reconnected()
		}
		await until(() => names(empty).join() === 'count' && empty.read('count')?.value === '42')
		expect(a.states.hasState('count') && b.states.hasState('count')).toBe(true)
	})

	it('ends with the same set everywhere after any races of creating and removing', async () => {
		for (let round = 0; round < 20; round++) {
			const store = new MemoryStateStore()
			const all = [shared(store), shared(store), shared(store)]
			for (const { network } of all)
				network.faults = { ...network.faults, unsent: 0.1, unanswered: 0.1, doubled: 0.2, late: 0.2 }
			for (let n = 0; n < 30; n++) {
				const one = all[n % 3]
				const name = `s${Math.floor(Math.random() * 4)}` as const
				if (Math.random() < 0.5) one?.states.createState(name, n)
				else one?.states.removeState(name)
				if (n % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
			}
			for (const { network } of all) {
				network.faults = { ...network.faults, unsent: 0, unanswered: 0, doubled: 0, late: 0 }
				network.reconnected()
			}
			await until(
				() => {
					const listed = names(store).join()
					return all.every(
						({ states }) =>
							['s0', 's1', 's2', 's3'].filter((name) => states.hasState(name as 's0')).join() === listed,
					)
				},
				{ what: `round ${round} to agree` },
			)
			for (const { states } of all) states.close()
		}
	})

	it('reports garbage on the list, and channels that are taken, once, and goes on', async () => {
		const store = new MemoryStateStore()
		register(store, 's1', '{half')
		register(store, 's2', '1')
		register(store, 's3', '3')
		const { states, clients, onError, network } = shared(store)
		clients.provide('s2', {})
		await until(() => states.getState('s3')?.version === 1)
		expect(states.hasState('s1') || states.hasState('s2')).toBe(false)
		network.reconnected()
		register(store, 's4', '4')
		await until(() => states.hasState('s4'))
		expect(onError).toHaveBeenCalledTimes(2)
	})

	it('sends a removal also when it is closed right after', async () => {
		const store = new MemoryStateStore()
		const { states } = shared(store)
		states.createState('count', 1)
		await until(() => names(store).length === 1)
		states.removeState('count')
		states.close()
		await until(() => names(store).length === 0)
	})

	it('announces over a pub/sub too, and looks at the list when others do', async () => {
		const store = new MemoryStateStore()
		const bus = new PubSubs()
		const pubsub = bus.join()
		const heard: unknown[] = []
		bus.join().onMessage((message) => heard.push(message))
		const { states, network } = shared(store, { pubsub })
		await states.createState('count', 1).ready
		states.removeState('count')
		await until(() => heard.length === 2)
		expect(heard).toEqual([
			{ type: 'create', channel: 'count' },
			{ type: 'remove', channel: 'count' },
		])
		network.faults.unheard = 1
		register(store, 's1', '1')
		await bus.join().send({ type: 'create', channel: 's1' })
		await until(() => states.hasState('s1'))
	})
})

/** Pub/subs that hear each other, except those that are cut off. */
class PubSubs {
	readonly #all = new Set<FakePubSub>()

	join(): FakePubSub {
		const one = new FakePubSub((message) => {
			for (const other of this.#all) if (other !== one) other.deliver(message)
		})
		this.#all.add(one)
		return one
	}
}

class FakePubSub {
	cut = false
	readonly #send: (message: unknown) => void
	#handler: (message: unknown) => void = () => {}
	#restored: () => void = () => {}

	constructor(send: (message: unknown) => void) {
		this.#send = send
	}

	async send(message: unknown): Promise<void> {
		if (this.cut) throw new Error('cut off')
		const json = JSON.stringify(message)
		await new Promise((resolve) => setImmediate(resolve))
		this.#send(JSON.parse(json))
	}

	onMessage(callback: (message: unknown) => void): void {
		this.#handler = callback
	}

	onRestored(callback: () => void): () => void {
		this.#restored = callback
		return () => {}
	}

	deliver(message: unknown): void {
		if (!this.cut) this.#handler(message)
	}

	heal(): void {
		this.cut = false
		this.#restored()
	}
}

describe('EvStateManager with only a pub/sub', () => {
	function peer(bus: PubSubs) {
		const pubsub = bus.join()
		return { pubsub, ...make({ pubsub }) }
	}

	it('creates and removes on all instances', async () => {
		const bus = new PubSubs()
		const [a, b, c] = [peer(bus), peer(bus), peer(bus)]
		a.states.createState('list', ['x'])
		await until(() => b.states.hasState('list') && c.states.hasState('list'))
		expect(b.states.getState('list')?.get()).toEqual(['x'])
		b.states.removeState('list')
		await until(() => !a.states.hasState('list') && !c.states.hasState('list'))
	})

	it('tells an instance that starts later, and one that was cut off', async () => {
		const bus = new PubSubs()
		const [a, b] = [peer(bus), peer(bus)]
		a.states.createState('count', 1)
		a.states.createState('s1', 1)
		await until(() => b.states.hasState('s1'))
		b.pubsub.cut = true
		a.states.removeState('count')
		b.states.createState('s2', 2)
		const late = peer(bus)
		await until(() => late.states.hasState('s1'))
		expect(late.states.hasState('count')).toBe(false)
		expect(b.states.hasState('count')).toBe(true)
		b.pubsub.heal()
		await until(() => !b.states.hasState('count') && a.states.hasState('s2') && late.states.hasState('s2'))
	})

	it('does not bring a removed state back by a late message, but creates it anew', async () => {
		const bus = new PubSubs()
		const [a, b] = [peer(bus), peer(bus)]
		const spy: unknown[] = []
		const third = bus.join()
		third.onMessage((message) => spy.push(message))
		a.states.createState('count', 1)
		await until(() => b.states.hasState('count'))
		const create = spy.find((message) => JSON.stringify(message).includes('"create"'))
		b.states.removeState('count')
		await until(() => !a.states.hasState('count'))
		await third.send(create)
		await third.send({ type: 'create', channel: 's1' })
		await until(() => a.states.hasState('s1') && b.states.hasState('s1'))
		expect(a.states.hasState('count') || b.states.hasState('count')).toBe(false)
		b.states.createState('count', 2)
		await until(() => a.states.getState('count')?.get() === 2)
	})

	it('ends with the same set after any races', async () => {
		for (let round = 0; round < 20; round++) {
			const bus = new PubSubs()
			const all = [peer(bus), peer(bus), peer(bus)]
			for (let n = 0; n < 30; n++) {
				const one = all[n % 3]
				const name = `s${Math.floor(Math.random() * 4)}` as const
				if (one && Math.random() < 0.2) one.pubsub.cut = !one.pubsub.cut
				if (Math.random() < 0.5) one?.states.createState(name, n)
				else one?.states.removeState(name)
				if (n % 4 === 0) await new Promise((resolve) => setImmediate(resolve))
			}
			for (const { pubsub } of all) pubsub.heal()
			const sets = () =>
				all.map(({ states }) =>
					['s0', 's1', 's2', 's3'].filter((name) => states.hasState(name as 's0')).join(),
				)
			await until(() => new Set(sets()).size === 1, { what: `round ${round} to agree` })
			for (const { states } of all) states.close()
		}
	})

	it('reports malformed messages and ignores those of others', async () => {
		const bus = new PubSubs()
		const { states, onError } = peer(bus)
		const other = bus.join()
		for (const message of [null, 5, 'x', {}, { type: 'chat' }]) await other.send(message)
		expect(onError).not.toHaveBeenCalled()
		const bad = [
			{ type: 'create' },
			{ type: 'create', channel: 5 },
			{ type: 'remove', channel: 's1', time: 1e300, by: 'x' },
			{ type: 'sync' },
			{ type: 'states', states: 'none' },
			{ type: 'states', states: [{ channel: 's1', present: true, time: 'now', by: 'x' }] },
		]
		for (const message of bad) await other.send(message)
		expect(onError).toHaveBeenCalledTimes(bad.length)
		expect(states.hasState('s1')).toBe(false)
	})
})

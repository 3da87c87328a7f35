import type { StateStore, StoredState } from '@evstream/core'
import { type Mock, onTestFinished, vi } from 'vitest'
import { StoreRegistry } from '../src/store-registry.js'
import { StepStore } from './step-store.js'
import { loadFrom } from './store-helpers.js'

/** Some turns of the event loop: nothing more happens without an answer. */
export const turn = async (): Promise<void> => {
	for (let n = 0; n < 5; n++) await new Promise((resolve) => setImmediate(resolve))
}

/** A registry whose store the test answers, and the states of its instance as names. */
export interface RegistrySetup {
	readonly store: StepStore
	readonly registry: StoreRegistry
	readonly local: {
		has: Mock<(name: string) => boolean>
		follow: Mock<(name: string, initial: string | undefined) => void>
		drop: Mock<(name: string) => void>
	}
	readonly onError: Mock<(error: unknown) => void>
	/** Creates a state here, and begins to load it. */
	create(name: string): Promise<{ states: StateStore; loading: Promise<StoredState | undefined> }>
}

/** @param auto - The list is read and watched without the test. */
export function setUp({
	checkInterval = false,
	auto = true,
}: {
	checkInterval?: number | false
	auto?: boolean
} = {}): RegistrySetup {
	const store = new StepStore()
	if (auto) store.auto.add('watchList').add('list').add('look')
	const open = new Set<string>()
	const local: RegistrySetup['local'] = {
		has: vi.fn((name: string) => open.has(name)),
		follow: vi.fn((name: string) => void open.add(name)),
		drop: vi.fn((name: string) => void open.delete(name)),
	}
	const onError = vi.fn<(error: unknown) => void>()
	const registry = new StoreRegistry(store, local, checkInterval, onError)
	onTestFinished(() => registry.close())
	return {
		store,
		registry,
		local,
		onError,
		async create(name) {
			const { states } = registry.adapter(name, false)
			open.add(name)
			const loading = Promise.resolve(loadFrom(states, name, '1'))
			await turn()
			return { states, loading }
		},
	}
}

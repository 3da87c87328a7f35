import type { StoredState } from '@evstream/core'
import { type Mock, onTestFinished, vi } from 'vitest'
import { EvState, type EvStateOptions } from '../src/index.js'
import { StepStore } from './step-store.js'
import { load } from './store-helpers.js'
import { FakeManager } from './support.js'

/** A shared state whose store the test answers. */
export interface SteppedState<T> {
	readonly state: EvState<T>
	readonly store: StepStore
	readonly manager: FakeManager
	readonly onError: Mock<(error: unknown) => void>
	/** What a subscriber was given, with the versions. */
	readonly seen: [T, number][]
}

export function make<T>(
	initialValue: T,
	options: Partial<EvStateOptions<T>> = {},
	store: StepStore = new StepStore('watch'),
): SteppedState<T> {
	const manager = new FakeManager()
	const onError = vi.fn<(error: unknown) => void>()
	const state = new EvState<T>({
		channel: 's',
		initialValue,
		manager,
		adapter: { states: store },
		onError,
		checkInterval: false,
		...options,
	})
	onTestFinished(() => state.close())
	const seen: [T, number][] = []
	state.subscribe((value, version) => seen.push([value, version]))
	return { state, store, manager, onError, seen }
}

/** A state that was loaded, and compared once as its watch had begun. */
export async function loaded<T>(
	initialValue: T,
	options: Partial<EvStateOptions<T>> = {},
): Promise<SteppedState<T>> {
	const made = make(initialValue, options)
	const { store, state, manager } = made
	;(await store.next('look')).answer()
	;(await store.next('create')).answer()
	;(await store.next('read')).answer()
	await state.ready
	await turn()
	manager.sent.length = 0
	return made
}

/** One turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Another instance commits. */
export function rival(store: StepStore, value: unknown): StoredState {
	const now = load(store.memory, 's', 'null')
	const id = { writer: `rival-${now.version}`, number: 1 }
	const { state } = store.memory.commit('s', now, JSON.stringify(value), id)
	if (!state) throw new Error('no state')
	return state
}

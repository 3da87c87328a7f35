import { describe, expect, it } from 'vitest'
import { stateStoreContract } from '../src/contract/state-store-contract.js'
import { MemoryStateStore } from '../src/memory-state-store.js'

stateStoreContract(
	'memory',
	async () => {
		const store = new MemoryStateStore()
		return { store, second: store, close: async () => {} }
	},
	{ describe, it },
)

describe('MemoryStateStore', () => {
	it('answers at once, and has told the watchers by then', () => {
		const store = new MemoryStateStore()
		const versions: number[] = []
		store.watch('a', { changed: (state) => versions.push(state.version), missed: () => {} })
		const first = store.create('a', '1', store.look('a'), false)
		if (!first) throw new Error('no state')
		store.commit('a', first, '2', { writer: 'w', number: 1 })
		expect(versions).toEqual([1, 2])
	})

	it('forgets the oldest writers and tombstones instead of growing for ever', () => {
		const store = new MemoryStateStore()
		for (let n = 0; n < 10_001; n++) store.remove(`s${n}`, { born: 'b', version: 1 })
		expect(store.restore('s0', { version: 1, stamp: 's', born: 'b', value: '1' })).toBeDefined()
		expect(store.restore('s10000', { version: 1, stamp: 's', born: 'b', value: '1' })).toBeUndefined()
	})
})

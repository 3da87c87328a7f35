import { describe, expect, it } from 'vitest'
import { Deque } from '../src/deque.js'

describe('a Deque', () => {
	it.each([3, 60, 5_000])('is what a list is, about %i long', (usual) => {
		const deque = new Deque<number>()
		const list: number[] = []
		const seen: unknown[] = []
		const expected: unknown[] = []
		let state = usual
		for (let step = 0; step < 20_000; step++) {
			state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
			// It grows to twice its usual length, and shrinks to nothing.
			const grows = state / 2 ** 32 < (step % (8 * usual) < 4 * usual ? 0.75 : 0.25)
			if (grows) {
				deque.push(step)
				list.push(step)
			} else if (deque.shift() !== list.shift()) expect.fail(`shift at step ${step}`)
			const index = state % (list.length + 2)
			const from = Math.min(3, list.length)
			const least = step - (state % 100)
			const found = list.findIndex((item, at) => at >= from && item >= least)
			seen.push([deque.length, deque.at(index), deque.search((item) => item >= least, from)])
			expected.push([list.length, list[index], found < 0 ? list.length : found])
		}
		expect(seen).toEqual(expected)
		expect(deque.at(-1)).toBeUndefined()
	})
})

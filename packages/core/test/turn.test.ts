import { expect, it } from 'vitest'
import { currentTurn } from '../src/turn.js'

/** Turns of the event loop. */
async function pass(turns: number): Promise<void> {
	for (let n = 0; n < turns; n++) await new Promise((resolve) => setImmediate(resolve))
}

it('turns are counted for two after somebody asked, and then the count rests', async () => {
	await pass(10)
	const asked = currentTurn()
	expect(currentTurn()).toBe(asked)
	await pass(20)
	expect(currentTurn()).toBe(asked + 2)
	await pass(20)
	expect(currentTurn()).toBe(asked + 4)
})

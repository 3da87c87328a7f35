import { outside } from './context.js'

let turn = 0
/** How many turns are still to be counted. */
let toCount = 0

function count(): void {
	setImmediate(() => setImmediate(advance))
}

function advance(): void {
	turn++
	toCount--
	if (toCount > 0) count()
}

/**
 * A number that rises once the event loop has looked at all sockets: clients could take bytes meanwhile. Two
 * immediates for each, because the first one runs before the loop polls again if it is asked for while the loop polls.
 * It rises by two after it was asked for, and then rests.
 */
export function currentTurn(): number {
	if (toCount === 0) outside(count)
	toCount = 2
	return turn
}

/** Resolves in the next turn of the event loop. */
export function nextTurn(): Promise<void> {
	return new Promise((resolve) => setImmediate(resolve))
}

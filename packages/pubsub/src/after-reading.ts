/** How many turns of the event loop may be given to data that keeps arriving. */
const TURNS = 100

/**
 * Runs a function after what has already arrived was read. After the process was frozen, or its event loop blocked,
 * timers fire before sockets are read: a deadline that acted at once would refuse what has long been answered.
 *
 * @param received How much was received, as a number that changes with everything that arrives.
 */
export function afterReading(received: () => number, run: () => void): void {
	let before = received()
	let turns = 0
	const turn = (): void => {
		const now = received()
		if (now === before || ++turns === TURNS) run()
		else {
			before = now
			setImmediate(turn)
		}
	}
	setImmediate(turn)
}

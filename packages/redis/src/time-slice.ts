import { setImmediate as nextTurn } from 'node:timers/promises'

/** How long one slice of a long piece of work takes, in ms. */
const SLICE = 8

/** Cuts long work into slices, so that the event loop gets a turn after each. */
export class TimeSlice {
	#end = performance.now() + SLICE

	/** Others must get a turn now. */
	get isOver(): boolean {
		return performance.now() >= this.#end
	}

	/** Gives others a turn and begins the next slice. */
	async next(): Promise<void> {
		await nextTurn()
		this.#end = performance.now() + SLICE
	}
}

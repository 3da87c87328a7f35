/** How long work may go on without giving the event loop a turn, in ms. */
const SLICE_MS = 8

/** Long work in slices: other work of the process gets its turn between two of them. */
export class Slices {
	#begun = performance.now()

	/** Whether this slice has lasted long enough. */
	get over(): boolean {
		return performance.now() - this.#begun >= SLICE_MS
	}

	/** Gives the event loop a turn, and begins the next slice. */
	async next(): Promise<void> {
		await new Promise<void>((resolve) => setImmediate(resolve))
		this.#begun = performance.now()
	}
}

/** A wait that somebody else can end. It keeps no process alive. */
export class Wait {
	#end: () => void = () => {}

	/** Resolves after so many ms, or at {@link end}. */
	begin(ms: number): Promise<void> {
		this.end()
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, ms)
			timer.unref()
			this.#end = () => {
				clearTimeout(timer)
				resolve()
			}
		})
	}

	end(): void {
		this.#end()
	}
}

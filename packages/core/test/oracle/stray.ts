import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Looks after what no seed may leave behind: errors that nobody caught, warnings, objects that are still held. */
export class Stray {
	#report: (text: string) => void = () => {}
	readonly #watched: { ref: WeakRef<object>; what: string }[] = []
	readonly #gc: () => void
	readonly #onError = (error: unknown): void =>
		this.#report(`uncaught: ${error instanceof Error ? error.stack : String(error)}`)
	readonly #onWarning = (warning: Error): void => {
		if (warning.name !== 'ExperimentalWarning') this.#report(`a warning: ${warning.stack}`)
	}

	constructor() {
		setFlagsFromString('--expose-gc')
		const gc: unknown = runInNewContext('gc')
		if (typeof gc !== 'function') throw new Error('There is no gc')
		this.#gc = () => void gc()
		process.on('uncaughtException', this.#onError)
		process.on('unhandledRejection', this.#onError)
		process.on('warning', this.#onWarning)
	}

	/** From here on errors belong to another seed. */
	begin(report: (text: string) => void): void {
		this.#report = report
	}

	/** The object is to be gone at the next {@link held}. */
	watch(object: object, what: string): void {
		this.#watched.push({ ref: new WeakRef(object), what })
	}

	/** What of the watched objects is still held. Call it when every seed is over. */
	async held(): Promise<string[]> {
		this.#report = () => {}
		for (let round = 0; round < 10 && this.#watched.some(({ ref }) => ref.deref() !== undefined); round++) {
			await new Promise((resolve) => setTimeout(resolve, round))
			this.#gc()
		}
		const held = this.#watched.filter(({ ref }) => ref.deref() !== undefined).map(({ what }) => what)
		this.#watched.length = 0
		return held
	}

	close(): void {
		process.off('uncaughtException', this.#onError)
		process.off('unhandledRejection', this.#onError)
		process.off('warning', this.#onWarning)
	}
}

import { outsideContext } from './context.js'

/** The shortest and the longest wait after a failure, in ms. */
const FIRST_PAUSE = 50
const LONGEST_PAUSE = 1000

/**
 * Does one step after the other until there is nothing left to do, and tries again, less and less often, what
 * failed. Never two steps at once; a first failure is reported, those right after it are not.
 */
export class Worker {
	readonly #step: () => Promise<boolean>
	readonly #onError: (error: unknown) => void
	#working = false
	/** It was kicked while it worked: the last look for something to do may have been too early. */
	#again = false
	#stopped = false
	#failures = 0
	#endPause: (() => void) | undefined

	/** @param step - Gives `false` if there was nothing to do. */
	constructor(step: () => Promise<boolean>, onError: (error: unknown) => void) {
		this.#step = step
		this.#onError = onError
	}

	/** There is something to do. It begins once this tick is over, so that what comes together is done together. */
	kick(): void {
		this.#again = true
		if (this.#working || this.#stopped) return
		this.#working = true
		outsideContext(() => process.nextTick(() => void this.#work()))
	}

	/** There is something to do, and it may succeed now: do not wait any longer. */
	wake(): void {
		this.#endPause?.()
		this.kick()
	}

	stop(): void {
		this.#stopped = true
		this.#endPause?.()
	}

	async #work(): Promise<void> {
		while (!this.#stopped) {
			try {
				this.#again = false
				const worked = await this.#step()
				this.#failures = 0
				if (!worked && !this.#again) break
			} catch (error) {
				if (isClosed(error)) this.stop()
				if (this.#failures === 0 && !this.#stopped) this.#onError(error)
				await this.#pause()
			}
		}
		this.#working = false
	}

	async #pause(): Promise<void> {
		if (this.#stopped) return
		const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures++)
		await new Promise<void>((resolve) => {
			const timer = setTimeout(resolve, longest * (0.5 + Math.random() / 2))
			timer.unref()
			this.#endPause = () => {
				clearTimeout(timer)
				resolve()
			}
		})
		this.#endPause = undefined
	}
}

/** Whether what was asked is closed for good. */
export function isClosed(error: unknown): boolean {
	return error instanceof Error && Reflect.get(error, 'code') === 'EV_CLOSED'
}

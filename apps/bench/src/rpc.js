/** Calls between the bench and its child processes, over the IPC channel. */

/** @typedef {(args: any) => unknown} Handler */

/**
 * The child's side: answers calls by name, and ends with its parent.
 *
 * @param {Record<string, Handler>} handlers
 */
export function answer(handlers) {
	process.on(
		'message',
		async (/** @type {{ id: number, name: string, args: unknown }} */ { id, name, args }) => {
			try {
				const value = await handlers[name]?.(args)
				process.send?.({ id, value })
			} catch (error) {
				process.send?.({ id, error: error instanceof Error ? error.message : String(error) })
			}
		},
	)
	process.on('disconnect', () => process.exit())
}

/** The parent's side of one child process. */
export class Remote {
	#child
	#name
	#next = 1
	#stderr = ''
	/** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
	#pending = new Map()

	/**
	 * @param {import('node:child_process').ChildProcess} child
	 * @param {string} name For error messages.
	 */
	constructor(child, name) {
		this.#child = child
		this.#name = name
		child.stderr?.setEncoding('utf8').on('data', (text) => {
			this.#stderr = (this.#stderr + text).slice(-2000)
		})
		child.on('message', (/** @type {any} */ { id, value, error }) => {
			const call = this.#pending.get(id)
			this.#pending.delete(id)
			if (error === undefined) call?.resolve(value)
			else call?.reject(new Error(`${name}: ${error}`))
		})
		child.on('error', (error) => this.#fail(error.message))
		child.on('exit', (code, signal) => this.#fail(`ended with ${signal ?? code}\n${this.#stderr}`))
	}

	/** @param {string} reason */
	#fail(reason) {
		for (const { reject } of this.#pending.values()) reject(new Error(`${this.#name}: ${reason}`))
		this.#pending.clear()
	}

	/**
	 * @param {string} name
	 * @param {unknown} [args]
	 * @param {number} [timeoutMs]
	 * @returns {Promise<any>}
	 */
	async call(name, args, timeoutMs = 300_000) {
		if (this.#child.exitCode !== null || !this.#child.connected) {
			throw new Error(`${this.#name}: is not running\n${this.#stderr}`)
		}
		const id = this.#next++
		/** @type {NodeJS.Timeout | undefined} */
		let timer
		try {
			return await new Promise((resolve, reject) => {
				this.#pending.set(id, { resolve, reject })
				timer = setTimeout(() => reject(new Error(`${this.#name}: no answer to ${name}`)), timeoutMs)
				this.#child.send({ id, name, args })
			})
		} finally {
			clearTimeout(timer)
			this.#pending.delete(id)
		}
	}

	/** Ends the process; resolves when it is gone. */
	async stop() {
		if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
		const gone = new Promise((resolve) => this.#child.once('exit', resolve))
		this.#child.kill('SIGKILL')
		await gone
	}
}

/** The load client's acknowledgements: a byte for each `ackEvery` messages that arrived everywhere. */
import { createServer } from 'node:net'

export class Acks {
	/** Bytes since the last `reset`. */
	count = 0
	/** @type {(() => void) | undefined} Called once, at the next acknowledgement. */
	#waiting

	/** @returns {Promise<number>} The port where they are taken. */
	listen() {
		const server = createServer((socket) => {
			socket.on('error', () => {})
			socket.on('data', (bytes) => {
				this.count += bytes.length
				const waiting = this.#waiting
				this.#waiting = undefined
				waiting?.()
			})
		})
		return new Promise((resolve) => {
			server.listen(0, '127.0.0.1', () => resolve(/** @type {any} */ (server.address()).port))
		})
	}

	reset() {
		this.count = 0
	}

	/** @param {() => void} callback */
	next(callback) {
		this.#waiting = callback
	}
}

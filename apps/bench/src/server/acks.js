/** The clients' acknowledgements, one for each `ackEvery` messages that arrived everywhere: a byte each, from another process. */
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
				this.add(bytes.length)
			})
		})
		return new Promise((resolve) => {
			server.listen(0, '127.0.0.1', () => resolve(/** @type {any} */ (server.address()).port))
		})
	}

	/** @param {number} count */
	add(count) {
		this.count += count
		const waiting = this.#waiting
		this.#waiting = undefined
		waiting?.()
	}

	reset() {
		this.count = 0
	}

	/** @param {() => void} callback */
	next(callback) {
		this.#waiting = callback
	}
}

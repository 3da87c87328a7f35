import type { Socket } from 'node:net'

/** How many streams may wait on one connection behind earlier pipelined requests. */
const MOST = 8

/** What is called when a socket closes, for each response that waits on it. */
class Waiting {
	readonly callbacks: Set<() => void> = new Set()
	readonly #socket: Socket

	constructor(socket: Socket) {
		this.#socket = socket
		socket.on('close', this.#closed)
	}

	remove(callback: () => void): void {
		this.callbacks.delete(callback)
		if (this.callbacks.size > 0) return
		waiting.delete(this.#socket)
		this.#socket.off('close', this.#closed)
	}

	readonly #closed = (): void => {
		for (const callback of this.callbacks) callback()
	}
}

const waiting = new WeakMap<Socket, Waiting>()

/**
 * Calls back when the socket closes while the response waits for its turn on it: such a response has no socket yet
 * and is not told. One listener for each socket, however many responses wait on it. Returns its undo; or `undefined`,
 * and cuts the connection, if too many wait already: nobody pipelines streams, which never end, but to fill a server.
 */
export function waitForTurn(socket: Socket, closed: () => void): (() => void) | undefined {
	const responses = waiting.get(socket) ?? new Waiting(socket)
	if (responses.callbacks.size >= MOST) {
		socket.destroy()
		return undefined
	}
	waiting.set(socket, responses)
	responses.callbacks.add(closed)
	return () => responses.remove(closed)
}

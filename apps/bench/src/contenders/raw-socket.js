/** One chunk, framed once, written to the socket of every response: as direct as Node's public API gets. */
import { chunk, frame } from '../server/frame.js'
import { HEAD, listen } from '../server/listen.js'

/** @import { Contender } from '../types.js' */

/** @returns {Promise<Contender>} */
export async function start() {
	/** @type {Set<import('node:net').Socket>} */
	const sockets = new Set()
	/** @type {import('node:net').Socket | undefined} */
	let newest
	const server = await listen((req, res) => {
		res.writeHead(200, HEAD).flushHeaders()
		const { socket } = req
		sockets.add(socket)
		newest = socket
		res.on('close', () => sockets.delete(socket))
	})
	return {
		...server,
		broadcast(data) {
			const bytes = chunk(Buffer.from(frame(data)))
			for (const socket of sockets) socket.write(bytes)
		},
		one: (data) => void newest?.write(chunk(Buffer.from(frame(data)))),
		count: () => sockets.size,
	}
}

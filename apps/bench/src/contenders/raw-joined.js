/** `raw-socket`, but all that a tick produced goes out as one chunk: the fewest system calls possible. */
import { chunk, frame } from '../server/frame.js'
import { HEAD, listen } from '../server/listen.js'

/** @import { Contender } from '../types.js' */

/** @returns {Promise<Contender>} */
export async function start() {
	/** @type {Set<import('node:net').Socket>} */
	const sockets = new Set()
	/** @type {import('node:net').Socket | undefined} */
	let newest
	let toAll = ''
	let toNewest = ''
	const server = await listen((req, res) => {
		res.writeHead(200, HEAD).flushHeaders()
		const { socket } = req
		sockets.add(socket)
		newest = socket
		res.on('close', () => sockets.delete(socket))
	})
	function flushAll() {
		const bytes = chunk(Buffer.from(toAll))
		toAll = ''
		for (const socket of sockets) socket.write(bytes)
	}
	function flushNewest() {
		newest?.write(chunk(Buffer.from(toNewest)))
		toNewest = ''
	}
	return {
		...server,
		broadcast(data) {
			if (toAll === '') process.nextTick(flushAll)
			toAll += frame(data)
		},
		one(data) {
			if (toNewest === '') process.nextTick(flushNewest)
			toNewest += frame(data)
		},
		count: () => sockets.size,
	}
}

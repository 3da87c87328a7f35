/** One `Buffer`, written to the HTTP/2 stream of every response, past the compatibility API. */
import { frame } from '../server/frame.js'
import { PLAIN_HEAD } from '../server/listen.js'
import { http2 } from '../server/transports.js'

/** @import { Contender } from '../types.js' */

/** @returns {Promise<Contender>} */
export async function start() {
	/** @type {Set<import('node:http2').ServerHttp2Stream>} */
	const streams = new Set()
	/** @type {import('node:http2').ServerHttp2Stream | undefined} */
	let newest
	const server = await http2((_req, res) => {
		const { stream } = res
		res.writeHead(200, PLAIN_HEAD)
		streams.add(stream)
		newest = stream
		stream.on('close', () => streams.delete(stream))
	})
	return {
		...server,
		broadcast(data) {
			const bytes = Buffer.from(frame(data))
			for (const stream of streams) stream.write(bytes)
		},
		one: (data) => void newest?.write(Buffer.from(frame(data))),
		count: () => streams.size,
	}
}

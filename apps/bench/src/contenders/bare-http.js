/** What a connection costs on `node:http` itself: the head, and eight bytes in an array to find it again. */
import { frame } from '../server/frame.js'
import { HEAD, listen } from '../server/listen.js'

/** @import { Contender } from '../types.js' */

/** @returns {Promise<Contender>} */
export async function start() {
	/** @type {import('node:http').ServerResponse[]} */
	const responses = []
	const server = await listen((_req, res) => {
		res.writeHead(200, HEAD).flushHeaders()
		responses.push(res)
	})
	return {
		...server,
		broadcast(data) {
			const text = frame(data)
			for (const res of responses) res.write(text)
		},
		one: (data) => void responses.at(-1)?.write(frame(data)),
		count: () => responses.length,
	}
}

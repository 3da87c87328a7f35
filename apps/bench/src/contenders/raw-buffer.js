/** One `Buffer`, `res.write` for every client: as little as the response itself allows. */
import { frame } from '../server/frame.js'
import { HEAD } from '../server/listen.js'

/** @import { Contender, Listen } from '../types.js' */

/**
 * @param {Listen} listen
 * @returns {Promise<Contender>}
 */
export async function start(listen) {
	/** @type {Set<import('node:http').ServerResponse>} */
	const responses = new Set()
	/** @type {import('node:http').ServerResponse | undefined} */
	let newest
	const server = await listen((_req, res) => {
		res.writeHead(200, HEAD).flushHeaders()
		responses.add(res)
		newest = res
		res.on('close', () => responses.delete(res))
	})
	return {
		...server,
		broadcast(data) {
			const bytes = Buffer.from(frame(data))
			for (const res of responses) res.write(bytes)
		},
		one: (data) => void newest?.write(Buffer.from(frame(data))),
		count: () => responses.size,
	}
}

/** What one writes by hand first: one string, `res.write` for every client. */
import { frame } from '../server/frame.js'
import { HEAD, listen } from '../server/listen.js'

/** @import { Contender } from '../types.js' */

/** @returns {Promise<Contender>} */
export async function start() {
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
			const text = frame(data)
			for (const res of responses) res.write(text)
		},
		one: (data) => void newest?.write(frame(data)),
		count: () => responses.size,
	}
}

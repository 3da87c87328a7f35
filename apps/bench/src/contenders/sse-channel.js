/** sse-channel: one channel, its ping interval longer than any case. */
import SseChannel from 'sse-channel'
import { text } from '../server/frame.js'
import { listen } from '../server/listen.js'

/** @import { Contender } from '../types.js' */

/** @returns {Promise<Contender>} */
export async function start() {
	const channel = new SseChannel({ pingInterval: 3_600_000 })
	/** @type {import('node:http').ServerResponse[]} */
	const newest = []
	const server = await listen((req, res) => {
		channel.addClient(req, res)
		newest[0] = res
	})
	return {
		...server,
		broadcast: (data) => channel.send({ data: text(data) }),
		one: (data) => channel.send({ data: text(data) }, newest),
		count: () => channel.getConnectionCount(),
	}
}

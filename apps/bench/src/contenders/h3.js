/** h3's `createEventStream` on its Node server: the application keeps the streams and loops over them. */
import { createEventStream, H3, serve } from 'h3'
import { text } from '../server/frame.js'
import { closed, portOf } from '../server/listen.js'

/** @import { Contender } from '../types.js' */

/** @returns {Promise<Contender>} */
export async function start() {
	/** @type {Set<import('h3').EventStream>} */
	const streams = new Set()
	/** @type {import('h3').EventStream | undefined} */
	let newest
	const app = new H3()
	app.get('/', (event) => {
		const stream = createEventStream(event)
		// Without it the head waits for the first event.
		stream.pushComment('ok')
		streams.add(stream)
		newest = stream
		stream.onClosed(() => void streams.delete(stream))
		return stream
	})
	const server = serve(app, { port: 0, hostname: '127.0.0.1', silent: true })
	await server.ready()
	const http = /** @type {import('node:http').Server} */ (server.node?.server)
	return {
		port: portOf(http),
		broadcast(data) {
			const message = { data: text(data) }
			for (const stream of streams) stream.push(message)
		},
		one: (data) => void newest?.push({ data: text(data) }),
		count: () => streams.size,
		close: () => closed(http),
	}
}

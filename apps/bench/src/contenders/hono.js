/** Hono's `streamSSE` on `@hono/node-server`: the application keeps the streams and loops over them. */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'
import { text } from '../server/frame.js'
import { closed, portOf } from '../server/listen.js'

/** @import { Contender } from '../types.js' */

/** @returns {Promise<Contender>} */
export async function start() {
	/** @type {Set<import('hono/streaming').SSEStreamingApi>} */
	const streams = new Set()
	/** @type {import('hono/streaming').SSEStreamingApi | undefined} */
	let newest
	const app = new Hono()
	app.get('/', (c) =>
		streamSSE(c, async (stream) => {
			streams.add(stream)
			newest = stream
			await new Promise((resolve) => stream.onAbort(() => resolve(streams.delete(stream))))
		}),
	)
	/** @type {import('node:http').Server} */
	const server = await new Promise((resolve) => {
		const listening = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => {
			resolve(/** @type {import('node:http').Server} */ (listening))
		})
	})
	return {
		port: portOf(server),
		broadcast(data) {
			const message = { data: text(data) }
			for (const stream of streams) stream.writeSSE(message)
		},
		one: (data) => void newest?.writeSSE({ data: text(data) }),
		count: () => streams.size,
		close: () => closed(server),
	}
}

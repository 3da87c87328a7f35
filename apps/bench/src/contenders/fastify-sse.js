/** @fastify/sse: it has no channel, so the application keeps the contexts and loops over them. */
import sse from '@fastify/sse'
import fastify from 'fastify'
import { portOf } from '../server/listen.js'

/** @import { Contender, Payload } from '../types.js' */

/** @param {Payload} data A string may go out as it is, an object is stringified by the plugin. */
const source = (data) => (typeof data === 'string' ? data : { data })

/** @returns {Promise<Contender>} */
export async function start() {
	const app = fastify()
	// The declared types take the default export of the CommonJS module for another one than Node does.
	await app.register(/** @type {import('fastify').FastifyPluginAsync} */ (/** @type {unknown} */ (sse)))
	/** @type {Set<import('@fastify/sse').SSEReplyInterface>} */
	const contexts = new Set()
	/** @type {import('@fastify/sse').SSEReplyInterface | undefined} */
	let newest
	app.get('/', { sse: { kind: 'only', heartbeat: false } }, async (_request, reply) => {
		const context = reply.sse
		context.keepAlive()
		// `sendHeaders` makes the head, but Node keeps it until the first event unless it is flushed.
		context.sendHeaders()
		reply.raw.flushHeaders()
		contexts.add(context)
		newest = context
		context.onClose(() => contexts.delete(context))
	})
	await app.listen({ port: 0, host: '127.0.0.1', backlog: 1024 })
	return {
		port: portOf(app.server),
		broadcast(data) {
			const message = source(data)
			for (const context of contexts) context.send(message)
		},
		one: (data) => void newest?.send(source(data)),
		count: () => contexts.size,
		async close() {
			app.server.closeAllConnections()
			await app.close()
		},
	}
}

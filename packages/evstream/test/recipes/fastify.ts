import type { EvStreamManager } from 'evstream'
import fastify, { type FastifyInstance } from 'fastify'

export function fastifyApp(manager: EvStreamManager): FastifyInstance {
	const app = fastify()
	app.get('/events', (request, reply) => {
		reply.header('Access-Control-Allow-Origin', 'https://app.example')
		// Fastify writes its headers with its own answer. There will be none: hand them to Node's response.
		for (const [name, value] of Object.entries(reply.getHeaders())) {
			if (value !== undefined) reply.raw.setHeader(name, value)
		}
		const stream = manager.createStream(request.raw, reply.raw)
		reply.hijack()
		stream.listen('news')
	})
	return app
}

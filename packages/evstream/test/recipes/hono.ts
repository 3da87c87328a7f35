import type { EvStreamManager } from 'evstream'
import { Hono } from 'hono'
import { cors } from 'hono/cors'

export function honoApp(manager: EvStreamManager): Hono {
	const app = new Hono()
	app.use(cors({ origin: 'https://app.example' }))
	app.get('/events', (c) => {
		const { stream, response } = manager.createResponse(c.req.raw)
		stream.listen('news')
		return response
	})
	return app
}

import type { EvStreamManager } from 'evstream'
import { H3 } from 'h3'

export function h3App(manager: EvStreamManager): H3 {
	const app = new H3()
	app.get('/events', (event) => {
		event.res.headers.set('Access-Control-Allow-Origin', 'https://app.example')
		const { stream, response } = manager.createResponse(event.req)
		// On Node, h3 holds the head back until there are bytes: this lets the client see at once that it is connected.
		stream.message({ event: 'hello', data: '' })
		stream.listen('news')
		return response
	})
	return app
}

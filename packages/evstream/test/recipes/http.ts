import { createServer, type Server } from 'node:http'
import { EvMaxConnectionsError, type EvStreamManager } from 'evstream'

export function httpServer(manager: EvStreamManager): Server {
	return createServer((req, res) => {
		if (req.url?.split('?')[0] !== '/events') {
			res.writeHead(404).end()
			return
		}
		res.setHeader('Access-Control-Allow-Origin', 'https://app.example')
		try {
			const stream = manager.createStream(req, res)
			stream.listen('news')
		} catch (error) {
			if (!(error instanceof EvMaxConnectionsError)) throw error
			res.writeHead(503, { 'Retry-After': '5' }).end()
		}
	})
}

import { createSecureServer, type Http2SecureServer } from 'node:http2'
import type { EvStreamManager } from 'evstream'

export function http2Server(manager: EvStreamManager, tls: { key: string; cert: string }): Http2SecureServer {
	// With allowHTTP1 the same server answers clients that speak HTTP/1.1 only.
	return createSecureServer({ ...tls, allowHTTP1: true }, (req, res) => {
		if (req.url.split('?')[0] !== '/events') {
			res.writeHead(404).end()
			return
		}
		res.setHeader('Access-Control-Allow-Origin', 'https://app.example')
		const stream = manager.createStream(req, res)
		stream.listen('news')
	})
}

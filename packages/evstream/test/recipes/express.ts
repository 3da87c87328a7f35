import type { EvStreamManager } from 'evstream'
import express, { type Express } from 'express'

export function expressApp(manager: EvStreamManager): Express {
	const app = express()
	app.get('/events', (req, res) => {
		res.set('Access-Control-Allow-Origin', 'https://app.example')
		const stream = manager.createStream(req, res)
		stream.listen('news')
	})
	return app
}

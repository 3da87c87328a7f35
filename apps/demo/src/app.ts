import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { EvClosedError, EvError, type EvRedisAdapter, type EvStreamManager } from 'evstream'
import express, {
	type Express,
	type NextFunction,
	type Request,
	type RequestHandler,
	type Response,
} from 'express'
import { readPost } from './board.js'
import type { DemoChannels } from './channels.js'
import { startClock } from './clock.js'
import { countViewers } from './viewers.js'

/** The token that opens `GET /private`. It is printed on the page: there is nothing to protect. */
const TOKEN = 'open-sesame'

export interface DemoOptions {
	/** Made, and closed, by the caller. For the board to survive a reconnect it needs `history`. */
	readonly manager: EvStreamManager<DemoChannels>
	/** Shares the viewers with the other instances. The same one that the manager has. */
	readonly adapter?: EvRedisAdapter | undefined
	/** This instance's name, shown on the page. */
	readonly instance?: string | undefined
	/** How long a browser waits before it comes back, in ms. Default 3000: time to post something meanwhile. */
	readonly retry?: number | undefined
	/** Ends this instance at once. Without it `POST /kill` does not exist. */
	readonly kill?: (() => void) | undefined
}

export interface Demo {
	readonly app: Express
	/** Stops the clock and takes this instance's viewers off the count. Leaves the manager and the adapter alone. */
	close(): Promise<void>
}

/** The demo as an Express app, not listening yet. */
export function createDemo({ manager, adapter, instance = '1', retry = 3_000, kill }: DemoOptions): Demo {
	const stopClock = startClock(manager)
	const viewers = countViewers({ manager, adapter, instance })
	const tabs = new Map<string, Set<Socket>>()

	const app = express()
	app.disable('x-powered-by')
	app.use(headers)

	app.get('/events', (req, res) => {
		const stream = manager.createStream(req, res)
		// The page reads a second stream to show its bytes: not a second viewer.
		const { frames, tab: name } = req.query
		if (frames === undefined) stream.onClose(viewers.enter())
		const tab = String(name)
		const sockets = tabs.get(tab) ?? new Set()
		tabs.set(tab, sockets.add(req.socket))
		stream.onClose(() => {
			sockets.delete(req.socket)
			if (sockets.size === 0) tabs.delete(tab)
		})

		stream.message({ event: 'hello', data: { instance, canKill: kill !== undefined }, retry })
		// A newcomer gets the last posts; a client that comes back gets what it missed.
		stream.listen('board', { last: 20 })
		stream.listen('clock')
		stream.listen('viewers')
	})

	app.get('/private', async (req, res) => {
		const stream = manager.createStream(req, res, {
			authentication: { method: 'query', param: 'token', verify: (token) => token === TOKEN },
		})
		if (!(await stream.authenticate())) return
		stream.message({ event: 'welcome', data: 'The token is right.' })
	})

	app.post('/board', ...json, async (req, res) => {
		const read = readPost(req.body)
		if ('problem' in read) {
			res.status(400).json({ error: read.problem })
			return
		}
		const id = await manager.send('board', { event: 'board', data: read.post })
		res.status(201).json({ id })
	})

	app.post('/drop', ...json, (req, res) => {
		const sockets = [...(tabs.get(String(req.body?.tab)) ?? [])]
		res.json({ dropped: sockets.length })
		// No goodbye, as when a cable is pulled.
		for (const socket of sockets) socket.destroy()
	})

	if (kill) app.post('/kill', ...json, (_req, res) => void res.status(202).end(kill))

	app.use(express.static(fileURLToPath(new URL('page', import.meta.url))))
	app.use(failed)

	return {
		app,
		async close() {
			stopClock()
			await viewers.close()
		},
	}
}

/** Only JSON: a page of another site can make a browser post a form here, but not JSON. */
const json: RequestHandler[] = [
	express.json({ limit: '8kb' }),
	(req, res, next) => {
		if (req.is('json')) next()
		else res.status(415).json({ error: 'Send JSON.' })
	},
]

function headers(_req: Request, res: Response, next: NextFunction): void {
	res.set({
		'Content-Security-Policy': "default-src 'self'; frame-ancestors 'none'",
		'X-Content-Type-Options': 'nosniff',
	})
	next()
}

function failed(error: unknown, req: Request, res: Response, next: NextFunction): void {
	if (res.headersSent) {
		// A stream has begun already: Express cuts the connection.
		next(error)
	} else if (error instanceof EvClosedError) {
		// Shutting down. An EventSource that gets a 503 gives up; one that is cut off comes back.
		req.socket.destroy()
	} else if (error instanceof EvError) {
		// Too many connections or listeners, or Redis is away.
		res.status(503).json({ error: error.message })
	} else {
		const { status, expose, message } = error as { status?: number; expose?: boolean; message?: string }
		if (!expose) console.error(error)
		res.status(status ?? 500).json({ error: expose ? message : 'Something went wrong.' })
	}
}

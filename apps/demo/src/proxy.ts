import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { pipeline } from 'node:stream'

/** A server process behind the proxy. */
export interface Target {
	readonly name: string
	readonly port: number
}

/** A request with this header goes to the instance it names, if that one is up: for `drop` and `kill`. */
const WISH = 'x-instance'

/** Headers that speak of one connection only, and so are not handed on. */
const HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer'])

/**
 * A reverse proxy that gives each request to the next target in turn, and hands bytes on as they come: what nginx
 * or a load balancer does for a real deployment. Streams and other requests take turns separately, so that a page's
 * files do not decide where its stream goes.
 */
export function createProxy(targets: () => readonly Target[]): Server {
	const turns = { stream: 0, other: 0 }

	const order = (req: IncomingMessage): readonly Target[] => {
		const all = targets()
		const wish = all.find(({ name }) => name === req.headers[WISH])
		if (wish) return [wish, ...all.filter((target) => target !== wish)]
		const first = turns[req.url?.startsWith('/events') ? 'stream' : 'other']++ % Math.max(all.length, 1)
		return [...all.slice(first), ...all.slice(0, first)]
	}

	return createServer(async (req, res) => {
		for (const target of order(req)) {
			// A connection first: until it stands nothing of the body is used up, and the next target can be tried.
			const socket = await open(target).catch(() => undefined)
			// The client may have left meanwhile.
			if (socket && res.destroyed) return void socket.destroy()
			if (socket) return forward(req, res, target, socket)
		}
		// Nobody is there. An EventSource that gets an error status gives up; one that is cut off comes back.
		req.socket.destroy()
	})
}

async function open({ port }: Target): Promise<Socket> {
	const socket = connect(port, '127.0.0.1')
	await once(socket, 'connect')
	return socket.setNoDelay(true)
}

function forward(req: IncomingMessage, res: ServerResponse, target: Target, socket: Socket): void {
	const upstream = request({
		createConnection: () => socket,
		port: target.port,
		method: req.method,
		path: req.url,
		headers: { ...endToEnd(req.headers), connection: 'close' },
	})
	upstream.on('response', (answer) => {
		res.writeHead(answer.statusCode ?? 502, endToEnd(answer.headers)).flushHeaders()
		// Ends both sides when either fails: an instance that dies cuts its clients off, a client that leaves is noticed.
		pipeline(answer, res, () => undefined)
	})
	upstream.on('error', () => res.destroy())
	res.on('close', () => upstream.destroy())
	req.pipe(upstream)
}

function endToEnd<H extends NodeJS.Dict<string | string[] | number>>(headers: H): H {
	return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP.has(name))) as H
}

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect, type IncomingHttpHeaders } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { testTls, until } from '@evstream/testkit'
import { serve } from '@hono/node-server'
import { EvStreamManager } from 'evstream'
import { toNodeHandler } from 'h3'
import { describe, expect, it } from 'vitest'
import { expressApp } from './recipes/express.js'
import { fastifyApp } from './recipes/fastify.js'
import { h3App } from './recipes/h3.js'
import { honoApp } from './recipes/hono.js'
import { httpServer } from './recipes/http.js'
import { http2Server } from './recipes/http2.js'
import { koaApp } from './recipes/koa.js'
import { cleanUp, follow } from './support.js'

/*
 * The code of docs/recipes.md, run. Each framework must give its clients the same stream.
 */

/** Listens on a free port until the end of the test, and tells the port. */
async function listen(server: Server): Promise<number> {
	const sockets = new Set<Socket>()
	server.on('connection', (socket) => sockets.add(socket))
	if (!server.listening) {
		server.listen(0, '127.0.0.1')
		await once(server, 'listening')
	}
	cleanUp(() => {
		for (const socket of sockets) socket.destroy()
		server.close()
	})
	const { port } = server.address() as AddressInfo
	return port
}

const frameworks: [name: string, start: (manager: EvStreamManager) => Promise<number>][] = [
	['express', (manager) => listen(createServer(expressApp(manager)))],
	[
		'fastify',
		async (manager) => {
			const app = fastifyApp(manager)
			await app.listen({ port: 0, host: '127.0.0.1' })
			return listen(app.server)
		},
	],
	['koa', (manager) => listen(createServer(koaApp(manager).callback()))],
	[
		'hono',
		(manager) => {
			const server = serve({ fetch: honoApp(manager).fetch, port: 0, hostname: '127.0.0.1' })
			return listen(server as Server)
		},
	],
	['h3', (manager) => listen(createServer(toNodeHandler(h3App(manager))))],
	['node:http', (manager) => listen(httpServer(manager))],
]

describe.each(frameworks)('on %s', (_name, start) => {
	it('sends the head at once, with the app’s own headers, and events as they are sent', async () => {
		const manager = new EvStreamManager()
		const port = await start(manager)
		const client = await follow(`http://127.0.0.1:${port}/events`, { origin: 'https://app.example' })
		expect(client.status).toBe(200)
		expect(client.headers).toMatchObject({
			'content-type': 'text/event-stream; charset=utf-8',
			'cache-control': 'no-cache, no-transform',
			'x-accel-buffering': 'no',
			'access-control-allow-origin': 'https://app.example',
		})
		for (const n of [1, 2]) {
			await manager.send('news', { event: 'news', data: { n } })
			await client.next('news')
		}
		expect(client.raw).toMatch(/event:news\ndata:{"n":1}\n\nevent:news\ndata:{"n":2}\n\n$/)
	})

	it('forgets a client that leaves', async () => {
		const manager = new EvStreamManager()
		const port = await start(manager)
		const client = await follow(`http://127.0.0.1:${port}/events`)
		await until(() => manager.stats().listeners === 1)
		client.close()
		await until(() => manager.stats().connections === 0)
		expect(manager.stats()).toMatchObject({ connections: 0, listeners: 0, channels: 0 })
	})

	it('resumes a client that comes back with the id of its last event', async () => {
		const manager = new EvStreamManager({ history: { size: 10 } })
		const port = await start(manager)
		const url = `http://127.0.0.1:${port}/events`
		const before = await follow(url)
		await before.next('position')
		const id = await manager.send('news', { event: 'news', data: 'seen' })
		await before.next('news')
		before.close()
		await until(() => manager.stats().connections === 0)
		await manager.send('news', { event: 'news', data: 'missed' })
		const after = await follow(url, { 'last-event-id': String(id) })
		await after.next('news')
		await manager.send('news', { event: 'news', data: 'live' })
		await after.next(({ data }) => data === 'live')
		const news = after.events.filter(({ event }) => event === 'news')
		expect(news.map(({ data }) => data)).toEqual(['missed', 'live'])
	})

	it('tells clients when to come back and ends their streams on shutdown', async () => {
		const manager = new EvStreamManager()
		const port = await start(manager)
		const client = await follow(`http://127.0.0.1:${port}/events`)
		await until(() => manager.stats().connections === 1)
		await manager.close()
		await client.closed
		expect(client.raw).toMatch(/(^|\n\n)retry:\d+\n\n$/)
	})

	it('leaves other routes alone', async () => {
		const port = await start(new EvStreamManager())
		expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404)
	})
})

describe('on node:http2', () => {
	it('sends a stream without connection headers, which HTTP/2 forbids', async () => {
		const manager = new EvStreamManager()
		const server = http2Server(manager, testTls)
		server.listen(0, '127.0.0.1')
		await once(server, 'listening')
		const { port } = server.address() as AddressInfo
		const session = connect(`https://localhost:${port}`, { ca: testTls.cert })
		cleanUp(() => server.close())
		cleanUp(() => session.destroy())
		const request = session.request({ ':path': '/events' })
		const [headers]: IncomingHttpHeaders[] = await once(request, 'response')
		expect(headers).toMatchObject({
			':status': 200,
			'content-type': 'text/event-stream; charset=utf-8',
			'access-control-allow-origin': 'https://app.example',
		})
		expect(headers).not.toHaveProperty('connection')
		// From Node 24 on a client that begins to read after the end finds its request closed.
		const body = text(request)
		await manager.send('news', { event: 'news', data: 'over HTTP/2' })
		await manager.close()
		expect(await body).toMatch(/^event:news\ndata:over HTTP\/2\n\nretry:\d+\n\n$/)
	})

	it('answers a client that speaks HTTP/1.1', async () => {
		const manager = new EvStreamManager()
		const server = http2Server(manager, testTls)
		server.listen(0, '127.0.0.1')
		await once(server, 'listening')
		cleanUp(() => server.close())
		const { port } = server.address() as AddressInfo
		const client = await follow(`https://127.0.0.1:${port}/events`)
		await manager.send('news', { event: 'news', data: 'over HTTP/1.1' })
		await client.next('news')
		expect(client.status).toBe(200)
	})
})

describe('in a Next route handler', () => {
	it('gives a Response that streams, and forgets a client that leaves', async () => {
		const { GET } = await import('./recipes/next.js')
		const { manager } = await import('./recipes/next-manager.js')
		const abort = new AbortController()
		const response = GET(new Request('http://localhost/events', { signal: abort.signal }))
		expect(response.status).toBe(200)
		expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
		const reader = response.body?.getReader()
		await manager.send('news', { event: 'news', data: 'one' })
		let text = ''
		while (!text.includes('one')) text += new TextDecoder().decode((await reader?.read())?.value)
		expect(text).toBe(':\n\nevent:news\ndata:one\n\n')
		expect(manager.stats().connections).toBe(1)
		abort.abort()
		expect(manager.stats().connections).toBe(0)
	})
})

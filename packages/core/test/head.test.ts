import { once } from 'node:events'
import { type IncomingMessage, Server, type ServerResponse } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { listenHttp, openSse } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Evstream } from '../src/index.js'
import { dial, serve, visit } from './support/visit.js'

describe('the head', () => {
	it('is what browsers and proxies need', async () => {
		const server = await serve((req, res) => new Evstream(req, res))
		const { status, headers } = await visit(server)
		expect(status).toBe(200)
		expect(headers).toMatchObject({
			'content-type': 'text/event-stream; charset=utf-8',
			'cache-control': 'no-cache, no-transform',
			'x-accel-buffering': 'no',
		})
		expect(headers).not.toHaveProperty('content-length')
	})

	it('leaves it to Node what becomes of the connection, and for how long it is kept', async () => {
		const server = await serve((req, res) => new Evstream(req, res))
		if (!(server.server instanceof Server)) throw new Error('not HTTP/1')
		server.server.keepAliveTimeout = 7_000
		const headOf = async (...headers: string[]) => {
			const client = await dial(server, 'GET / HTTP/1.1', 'Host: localhost', ...headers)
			await client.has('\r\n\r\n')
			return client.text
		}
		expect(await headOf()).toMatch(/^connection: keep-alive\r$[\s\S]*^keep-alive: timeout=7\r$/im)
		const closing = await headOf('Connection: close')
		expect(closing).toMatch(/^connection: close\r$/im)
		expect(closing).not.toMatch(/keep-alive/i)
	})

	it('goes out at once, before any event', async () => {
		const server = await serve((req, res) => new Evstream(req, res))
		const client = await visit(server)
		expect(client.status).toBe(200)
		expect(client.raw).toBe('')
	})

	it('keeps the headers and the status the app set', async () => {
		const server = await serve((req, res) => {
			res.statusCode = 203
			res.setHeader('Access-Control-Allow-Origin', 'https://app.example')
			res.setHeader('Access-Control-Allow-Credentials', 'true')
			res.setHeader('Set-Cookie', ['a=1', 'b=2'])
			res.setHeader('Cache-Control', 'no-store')
			res.setHeader('X-Accel-Buffering', 'yes')
			new Evstream(req, res).close()
		})
		const { status, headers } = await visit(server)
		expect(status).toBe(203)
		expect(headers).toMatchObject({
			'access-control-allow-origin': 'https://app.example',
			'access-control-allow-credentials': 'true',
			'set-cookie': ['a=1', 'b=2'],
			'cache-control': 'no-store',
			'x-accel-buffering': 'yes',
			'content-type': 'text/event-stream; charset=utf-8',
		})
	})

	it('lets go of the request’s raw headers, and of nothing else the app may read later', async () => {
		let request: IncomingMessage | undefined
		const server = await serve((req, res) => {
			request = req
			new Evstream(req, res)
		})
		await visit(server, { headers: { 'User-Agent': 'test', Cookie: 'a=1; b=2' } }, '/events?a=1')
		expect(request?.rawHeaders).toEqual([])
		expect(request).toMatchObject({
			url: '/events?a=1',
			method: 'GET',
			headers: { 'user-agent': 'test', cookie: 'a=1; b=2', host: expect.any(String) },
		})
	})

	it('of one response has nothing of what a plugin added to another one’s', async () => {
		let first = true
		const server = await serve((req, res) => {
			const writeHead = res.writeHead.bind(res) as (status: number, headers: object) => typeof res
			res.writeHead = ((status: number, headers: Record<string, string>) => {
				if (first) headers['X-Secret'] = 'of the first'
				first = false
				return writeHead(status, headers)
			}) as typeof res.writeHead
			new Evstream(req, res)
		})
		expect((await visit(server)).headers).toHaveProperty('x-secret')
		expect((await visit(server)).headers).not.toHaveProperty('x-secret')
	})

	it('may have been sent by the app', async () => {
		const server = await serve((req, res) => {
			res.writeHead(200, { 'Content-Type': 'text/event-stream', 'X-App': 'a' })
			const stream = new Evstream(req, res)
			stream.message({ data: 'a' })
			stream.close()
		})
		const client = await visit(server)
		await client.closed
		expect(client.headers['x-app']).toBe('a')
		expect(client.raw).toBe('data:a\n\nevent:end\ndata:\n\n')
	})

	it('of HTTP/1.0 is followed by the plain frames and the end of the connection', async () => {
		const server = await serve((req, res) => {
			const stream = new Evstream(req, res)
			stream.message({ data: 'a' })
			stream.close()
		})
		const client = await dial(server, 'GET / HTTP/1.0')
		await client.has('event:end\ndata:\n\n')
		const [head = '', body] = client.text.split('\r\n\r\n')
		expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
		expect(head).not.toMatch(/transfer-encoding/i)
		expect(body).toBe('data:a\n\nevent:end\ndata:\n\n')
	})

	it.each(['1.0', '1.1'])('of HTTP/%s may say how long the body is, and Node counts it', async (version) => {
		const errors: unknown[] = []
		const body = 'data:a\n\nevent:end\ndata:\n\n'
		const server = await serve((req, res) => {
			res.strictContentLength = true
			res.setHeader('Content-Length', body.length)
			const stream = new Evstream(req, res, { onError: (error) => errors.push(error) })
			stream.message({ data: 'a' })
			stream.close()
		})
		const client = await dial(server, `GET / HTTP/${version}`, 'Host: a', 'Connection: close')
		await expect.poll(() => client.ended).toBe(true)
		expect(client.text.split('\r\n\r\n')[1]).toBe(body)
		expect(errors).toEqual([])
	})

	it('is all a HEAD request gets, and the stream is over', async () => {
		const reasons: unknown[] = []
		const server = await serve((req, res) => {
			const stream = new Evstream(req, res)
			stream.onClose((_channels, reason) => void reasons.push(reason))
			stream.message({ data: 'a' })
		})
		const client = await visit(server, { method: 'HEAD' })
		await client.closed
		expect(client.headers['content-type']).toBe('text/event-stream; charset=utf-8')
		expect(client.raw).toBe('')
		await expect.poll(() => reasons).toEqual(['disconnected'])
	})

	it('is the same over TLS', async () => {
		const server = await listenHttp((req, res) => new Evstream(req, res).message({ data: 'a' }), {
			https: true,
		})
		onTestFinished(() => server.close())
		const client = await openSse(server.url)
		expect(await client.next()).toMatchObject({ data: 'a' })
		expect(client.headers['content-type']).toBe('text/event-stream; charset=utf-8')
	})

	it('has no connection header on HTTP/2', async () => {
		// Node does not send it either, but complains.
		const warnings: Error[] = []
		const warn = (warning: Error) => void warnings.push(warning)
		process.on('warning', warn)
		onTestFinished(() => void process.off('warning', warn))
		const server = await listenHttp(
			(req, res) => {
				const stream = new Evstream(req as unknown as IncomingMessage, res as unknown as ServerResponse)
				stream.message({ data: 'a' })
				stream.close()
			},
			{ http2: true },
		)
		const session = connectHttp2(server.url)
		onTestFinished(async () => {
			session.destroy()
			await server.close()
		})
		const exchange = session.request({ ':path': '/' })
		const body = exchange.setEncoding('utf8').toArray()
		const [headers] = await once(exchange, 'response')
		expect(headers).toMatchObject({
			':status': 200,
			'content-type': 'text/event-stream; charset=utf-8',
			'cache-control': 'no-cache, no-transform',
			'x-accel-buffering': 'no',
		})
		expect(headers).not.toHaveProperty('connection')
		expect((await body).join('')).toBe('data:a\n\nevent:end\ndata:\n\n')
		expect(warnings).toEqual([])
	})
})

import { once } from 'node:events'
import { connect as connectHttp2, constants } from 'node:http2'
import { AwaitableQueue, forgotten, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EvStreamManager } from '../src/index.js'
import { serve } from './support/streams-server.js'
import { reasonOf } from './support/streams-slow.js'
import { dial, serve as serveRaw } from './support/visit.js'
import { Endings, isEmpty } from './support/watch.js'

const withoutBody: [string, { method: string; status: number }][] = [
	['to HEAD', { method: 'HEAD', status: 200 }],
	['with status 204', { method: 'GET', status: 204 }],
	['with status 304', { method: 'GET', status: 304 }],
]

describe.each(withoutBody)('a response %s', (_what, { method, status }) => {
	it('ends its stream at once, and the connection takes the next request', async () => {
		const endings = new Endings()
		const { manager, server, streams } = await serve(
			{ history: { size: 10 }, heartbeat: 20 },
			{
				before(req, res) {
					if (req.url === '/') res.statusCode = status
				},
				onStream(stream) {
					stream.onClose(endings.callback)
					stream.listen('a')
					stream.message({ data: 'not for it' })
				},
			},
		)
		const client = await dial(server, `${method} / HTTP/1.1`, 'Host: a')
		expect(await endings.next()).toEqual({ channels: [], reason: 'disconnected' })
		await until(() => isEmpty(manager) && manager.stats().ending === 0)
		client.socket.write('GET /next?channel=a HTTP/1.1\r\nHost: a\r\n\r\n')
		await streams.next()
		await streams.next()
		await client.has('event:position')
		manager.send('a', { data: 'for the second' })
		await client.has('data:for the second')
		// Of the first there is a head, and nothing that is not the second's.
		const [first = '', second = ''] = client.text.split(/(?=HTTP\/1\.1 )/)
		expect(first).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^]*\r\n\r\n$`))
		expect(second).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
		expect(manager.stats()).toMatchObject({ connections: 1, listeners: 1 })
	})

	it('ends its stream at once on HTTP/2', async () => {
		const endings = new Endings()
		const { manager, url } = await serve(
			{},
			{
				http2: true,
				before: (_req, res) => {
					res.statusCode = status
				},
				onStream(stream) {
					stream.onClose(endings.callback)
					stream.listen('a')
				},
			},
		)
		const session = connectHttp2(url)
		onTestFinished(() => void session.destroy())
		const request = session.request({ ':path': '/', ':method': method })
		const [headers] = await once(request, 'response')
		expect(headers[':status']).toBe(status)
		expect(await endings.next()).toEqual({ channels: [], reason: 'disconnected' })
		expect((await request.setEncoding('utf8').toArray()).join('')).toBe('')
		await until(() => isEmpty(manager) && manager.stats().ending === 0)
		await manager.close()
	})
})

describe('a HEAD request', () => {
	it('over HTTP/2 that is reset while verify is asked is not let in, and nothing of it is left', async () => {
		const questions = new AwaitableQueue<(answer: boolean) => void>()
		const answers = new AwaitableQueue<boolean | undefined>()
		const endings = new Endings()
		const verify = () => new Promise<boolean>((resolve) => questions.push(resolve))
		const { manager, url } = await serve(
			{},
			{
				http2: true,
				stream: { authentication: { method: 'custom', verify } },
				onStream(stream) {
					stream.onClose(endings.callback)
					void stream.authenticate().then(answers.push)
				},
			},
		)
		const session = connectHttp2(url)
		onTestFinished(() => void session.destroy())
		const request = session.request({ ':path': '/', ':method': 'HEAD' })
		request.on('error', () => {})
		const decide = await questions.next()
		expect(manager.stats().connections).toBe(1)
		request.close(constants.NGHTTP2_CANCEL)
		expect(await endings.next()).toEqual({ channels: [], reason: 'disconnected' })
		decide(true)
		expect(await answers.next()).toBe(false)
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 0 })
		await manager.close()
	})

	it('of a web handler ends its stream at once, and nothing holds its request', async () => {
		const manager = new EvStreamManager({ heartbeat: 10, history: { size: 10 } })
		// Node loads its `Request` with the first one, and keeps the context of that.
		void new Request('http://a/')
		await forgotten(async () => {
			const { stream, response } = manager.createResponse(new Request('http://a/', { method: 'HEAD' }))
			stream.listen('a')
			expect(await reasonOf(stream)).toBe('disconnected')
			expect(response.status).toBe(200)
			expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
			expect(await response.text()).toBe('')
		})
		expect(isEmpty(manager)).toBe(true)
		expect(manager.stats().ending).toBe(0)
		await manager.close()
	})
})

describe('an ended web stream that nobody reads', () => {
	it('is counted, and cut off after stallTimeout', async () => {
		const manager = new EvStreamManager({ stallTimeout: 100, maxConnection: 1 })
		const { stream, response } = manager.createResponse(new Request('http://a/'))
		stream.message({ data: 'not taken' })
		stream.close()
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 1 })
		expect(manager.stats().bufferedBytes).toBeGreaterThan(0)
		// It counts for the limit until it is over.
		expect(() => manager.createResponse(new Request('http://a/'))).toThrow(
			expect.objectContaining({ code: 'EV_MAX_CONNECTIONS' }),
		)
		await until(() => manager.stats().ending === 0)
		expect(manager.stats().bufferedBytes).toBe(0)
		await expect(response.text()).rejects.toThrow('cut off')
		manager.createResponse(new Request('http://a/'))
	})

	it('does not hold up a shutdown', async () => {
		const manager = new EvStreamManager()
		const { stream, response } = manager.createResponse(new Request('http://a/'))
		stream.message({ data: 'not taken' })
		stream.close()
		await manager.close()
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 0 })
		await expect(response.text()).rejects.toThrow('cut off')
	})
})

describe('an answer behind a stream on the same connection', () => {
	it.each([
		['to HEAD', 'HEAD / HTTP/1.1'],
		['that lets nobody in', 'GET /no HTTP/1.1'],
	])('%s is cut off after stallTimeout', async (_what, line) => {
		const authentication = { method: 'custom', verify: () => false } as const
		const manager = new EvStreamManager({ stallTimeout: 50 })
		let asked = 0
		const server = await serveRaw((req, res) => {
			asked++
			const stream = manager.createStream(req, res, req.url === '/no' ? { authentication } : {})
			if (req.url === '/no') void stream.authenticate()
		})
		const client = await dial(server, 'GET / HTTP/1.1', 'Host: a')
		await client.has('200 OK')
		client.socket.write(`${line}\r\nHost: a\r\n\r\n`)
		await until(() => asked === 2 && manager.stats().ending === 1)
		await until(() => manager.stats().ending === 0)
		expect(manager.stats().connections).toBe(1)
		await manager.close()
	})
})

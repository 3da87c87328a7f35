import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type EvCloseReason, EvStreamManager } from '../src/index.js'
import { serve } from './support/streams-server.js'
import { reasonOf } from './support/streams-slow.js'
import { dial, thrownBy } from './support/visit.js'

/** A session whose server may send it away. */
function openHttp2(url: string, path = '/?channel=a') {
	const session = connectHttp2(url)
	onTestFinished(() => void session.destroy())
	session.on('error', () => {})
	let goneAway = false
	session.on('goaway', () => {
		goneAway = true
	})
	const request = session.request({ ':path': path })
	request.on('error', () => {})
	let text = ''
	request.setEncoding('utf8').on('data', (part: string) => {
		text += part
	})
	return {
		session,
		request,
		get text() {
			return text
		},
		get goneAway() {
			return goneAway
		},
	}
}

describe('the connection of a client that a shutdown sends away', () => {
	it('is closed after the last byte, so that it comes back on a new one', async () => {
		const { manager, server } = await serve()
		const client = await dial(server, 'GET /?channel=a HTTP/1.1', 'Host: a', 'Connection: keep-alive')
		await client.has('200 OK')
		expect(client.text).toMatch(/^connection: keep-alive\r$/im)
		const closing = manager.close({ drainMs: 50 })
		await until(() => client.ended)
		expect(client.text).toMatch(/retry:\d+\n\n\r\n0\r\n\r\n$/)
		await closing
	})

	it('stays open when it is only this stream that the app ends', async () => {
		const { server, streams } = await serve()
		const client = await dial(server, 'GET /?channel=a HTTP/1.1', 'Host: a')
		await client.has('200 OK')
		const first = await streams.next()
		first.stream.close()
		await client.has('event:end\ndata:\n\n\r\n0\r\n\r\n')
		client.socket.write('GET /?channel=a HTTP/1.1\r\nHost: a\r\n\r\n')
		const second = await streams.next()
		second.stream.message({ data: 'on the same connection' })
		await client.has('data:on the same connection')
		expect(client.ended).toBe(false)
	})

	it('of HTTP/2 is told to go away, and its stream ends cleanly', async () => {
		const { manager, url, streams } = await serve({}, { http2: true })
		const client = openHttp2(url)
		await streams.next()
		const ended = once(client.request, 'end')
		const gone = once(client.session, 'close')
		await manager.close({ drainMs: 50 })
		await ended
		await gone
		expect(client.goneAway).toBe(true)
		expect(client.request.rstCode).toBe(0)
		expect(client.text).toMatch(/^retry:\d+\n\n$/)
	})

	it('of HTTP/2 stays when it is only this stream that the app ends', async () => {
		const { url, streams } = await serve({}, { http2: true })
		const client = openHttp2(url)
		const { stream } = await streams.next()
		stream.close()
		await once(client.request, 'end')
		client.session.request({ ':path': '/?channel=a' }).on('error', () => {})
		await streams.next()
		expect(client.goneAway).toBe(false)
		expect(client.session.closed).toBe(false)
	})
})

describe('a client that is being authenticated', () => {
	/** Never answers. */
	const verify = () => new Promise<boolean>(() => {})
	const authentication = { method: 'custom', verify } as const

	const endings: [EvCloseReason, (manager: EvStreamManager) => unknown, number | undefined][] = [
		['shutdown', (manager) => manager.close(), undefined],
		['max-age', () => {}, 30],
	]

	function expectTurnedAway(status: number | undefined, headers: Headers, body: string, reason: string) {
		// An EventSource gives up for good on 204 and on everything but 200.
		expect(status).toBe(200)
		expect(headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
		expect(headers.get('cache-control')).toBe('no-store')
		expect(headers.get('evstream-refused')).toBe(reason)
		const retry = Number(/^retry:(\d+)\n\n$/.exec(body)?.[1])
		expect(retry).toBeGreaterThanOrEqual(5_000)
		expect(retry).toBeLessThanOrEqual(15_000)
	}

	it.each(endings)('is told to come back by the web when it ends by %s', async (reason, end, maxAge) => {
		const manager = new EvStreamManager()
		const { stream, response } = manager.createResponse(new Request('http://a/'), { authentication, maxAge })
		const answer = stream.authenticate()
		await end(manager)
		expect(await reasonOf(stream)).toBe(reason)
		const { status, headers, text } = await response.then(async (given) => ({
			status: given.status,
			headers: given.headers,
			text: await given.text(),
		}))
		expectTurnedAway(status, headers, text, reason)
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 0 })
		void answer
	})

	it.each(endings)('is told to come back over HTTP/1.1 when it ends by %s', async (reason, end, maxAge) => {
		const { manager, server, streams } = await serve(
			{},
			{
				stream: { authentication, maxAge },
				onStream: (stream) => void stream.authenticate(),
			},
		)
		const client = await dial(server, 'GET / HTTP/1.1', 'Host: a')
		await streams.next()
		await end(manager)
		await client.has('retry:')
		const [head = '', body = ''] = client.text.split('\r\n\r\n')
		const headers = new Headers(
			head
				.split('\r\n')
				.slice(1)
				.map((line): [string, string] => [
					line.slice(0, line.indexOf(':')),
					line.slice(line.indexOf(':') + 2),
				]),
		)
		expectTurnedAway(Number(head.split(' ')[1]), headers, body, reason)
		expect(headers.get('connection')).toBe(reason === 'shutdown' ? 'close' : 'keep-alive')
		if (reason === 'shutdown') await until(() => client.ended)
		await until(() => manager.stats().ending === 0)
	})

	it.each(endings)('is told to come back over HTTP/2 when it ends by %s', async (reason, end, maxAge) => {
		const { manager, url, streams } = await serve(
			{},
			{
				http2: true,
				stream: { authentication, maxAge },
				onStream: (stream) => void stream.authenticate(),
			},
		)
		const client = openHttp2(url, '/')
		const response = once(client.request, 'response')
		const ended = once(client.request, 'end')
		await streams.next()
		await end(manager)
		const [fields] = await response
		await ended
		const headers = new Headers(
			Object.entries(fields).flatMap(([name, value]): [string, string][] =>
				name.startsWith(':') ? [] : [[name, String(value)]],
			),
		)
		expectTurnedAway(Number(fields[':status']), headers, client.text, reason)
		expect(headers.get('connection')).toBeNull()
		if (reason === 'shutdown') await until(() => client.goneAway)
		else expect(client.goneAway).toBe(false)
		await until(() => manager.stats().ending === 0)
	})

	it('is told not to come back when the app closes the stream', async () => {
		const manager = new EvStreamManager()
		const { stream, response } = manager.createResponse(new Request('http://a/'), { authentication })
		void stream.authenticate()
		stream.close()
		expect((await response).status).toBe(204)
		const { server, streams } = await serve({}, { stream: { authentication } })
		const client = await dial(server, 'GET / HTTP/1.1', 'Host: a')
		;(await streams.next()).stream.close()
		await client.has('HTTP/1.1 204')
	})
})

describe('close of a manager', () => {
	it.each(['100', null, {}, true])('refuses %j as drainMs, and stays open', (drainMs) => {
		const manager = new EvStreamManager()
		expect(thrownBy(() => manager.close({ drainMs: drainMs as never }))).toBeInstanceOf(TypeError)
		const { stream } = manager.createResponse(new Request('http://a/'))
		expect(stream.closed).toBe(false)
	})

	it('may be called by onClose of a stream, before and while it closes', async () => {
		const { manager, server, streams } = await serve()
		const closings: Promise<void>[] = []
		const clients = [
			await dial(server, 'GET / HTTP/1.1', 'Host: a'),
			await dial(server, 'GET / HTTP/1.1', 'Host: a'),
			await dial(server, 'GET / HTTP/1.1', 'Host: a'),
		]
		for (const client of clients) await client.has('200 OK')
		const all = [await streams.next(), await streams.next(), await streams.next()]
		for (const { stream } of all) stream.onClose(() => void closings.push(manager.close()))
		all[1]?.stream.close()
		await until(() => closings.length === 3)
		await closings[0]
		expect(new Set(closings)).toEqual(new Set([manager.close()]))
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 0 })
		for (const client of clients) await until(() => client.text.endsWith('\r\n0\r\n\r\n'))
	})
})

describe('onClose', () => {
	it('runs when the end is written, also if it ends the response itself', async () => {
		const { server } = await serve(
			{},
			{
				onStream(stream, _req, res) {
					stream.message({ data: '1' })
					stream.close(() => void res.end())
				},
			},
		)
		const client = await dial(server, 'GET / HTTP/1.1', 'Host: a')
		await client.has('\r\n0\r\n\r\n')
		expect(client.text.replaceAll(/\r\n[0-9a-f]+\r\n|\r\n\r\n0\r\n/g, '')).toContain('data:1\n\n')
		expect(client.text.split('event:end')).toHaveLength(2)
	})

	it.each(['close', 'maxAge', 'shutdown'])(
		'cannot take the last bytes away by res.destroy: %s',
		async (how) => {
			const { manager, server, streams } = await serve(
				{},
				{ stream: { maxAge: how === 'maxAge' ? 30 : undefined } },
			)
			const client = await dial(server, 'GET / HTTP/1.1', 'Host: a')
			await client.has('200 OK')
			const { stream, res } = await streams.next()
			let endedBefore: boolean | undefined
			stream.onClose(() => {
				endedBefore = res.writableEnded
				res.destroy()
			})
			if (how === 'close') stream.close()
			if (how === 'shutdown') void manager.close()
			await until(() => endedBefore !== undefined)
			expect(endedBefore).toBe(true)
			await client.has('\r\n0\r\n\r\n')
		},
	)
})

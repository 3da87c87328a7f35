import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2'
import { Writable } from 'node:stream'
import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { serve } from './support/streams-server.js'
import { nextTurn } from './support/streams-slow.js'

/** One request over a connection of its own. It reads from `read` on. */
function ask(url: string, headers: OutgoingHttpHeaders = {}) {
	const session = connectHttp2(url)
	onTestFinished(() => void session.destroy())
	session.on('error', () => {})
	const request = session.request({ ':path': '/', ...headers })
	request.on('error', () => {})
	let text = ''
	let goneAway = false
	session.on('goaway', () => {
		goneAway = true
	})
	const response = once(request, 'response')
	return {
		session,
		request,
		/** The head, once it is there. */
		async head(): Promise<Record<string, unknown>> {
			const [fields] = await response
			return fields
		},
		read() {
			request.setEncoding('utf8').on('data', (part: string) => {
				text += part
			})
		},
		/** Reads to the end. */
		async body(): Promise<string> {
			const ended = once(request, 'end')
			this.read()
			await ended
			return text
		},
		get text() {
			return text
		},
		get goneAway() {
			return goneAway
		},
	}
}

/** The HTTP/2 stream under a response. */
function streamOf(res: ServerResponse): Writable {
	const stream: unknown = Reflect.get(res, 'stream')
	if (!(stream instanceof Writable)) throw new Error('not HTTP/2')
	return stream
}

describe('a response over HTTP/2', () => {
	it.each<[string, (res: ServerResponse) => unknown]>([
		['ended', (res) => res.end()],
		['reset', (res) => Reflect.get(streamOf(res), 'close').call(streamOf(res))],
		['destroyed', (res) => streamOf(res).destroy()],
	])('that the app has %s has ended when its stream is made', async (_how, over) => {
		let closedAtOnce: boolean | undefined
		const { url } = await serve(
			{},
			{
				http2: true,
				before: (_req, res) => void over(res),
				onStream(stream) {
					closedAtOnce = stream.closed
				},
			},
		)
		ask(url)
		await until(() => closedAtOnce !== undefined)
		expect(closedAtOnce).toBe(true)
	})

	it('keeps the head that the app has sent', async () => {
		const { url, errors } = await serve(
			{},
			{
				http2: true,
				before: (_req, res) => void res.writeHead(203, { 'X-App': 'a' }),
				onStream(stream) {
					stream.message({ data: 'a' })
					stream.close()
				},
			},
		)
		const client = ask(url)
		expect(await client.head()).toMatchObject({ ':status': 203, 'x-app': 'a' })
		expect(await client.body()).toBe('data:a\n\nevent:end\ndata:\n\n')
		expect(errors).toEqual([])
	})

	it('keeps the status and the headers that the app has set, but for the content type', async () => {
		const { url } = await serve(
			{},
			{
				http2: true,
				before(_req, res) {
					res.statusCode = 203
					res.setHeader('Cache-Control', 'no-store')
					res.setHeader('Content-Type', 'text/plain')
				},
			},
		)
		const head = await ask(url).head()
		expect(head).toMatchObject({
			':status': 203,
			'cache-control': 'no-store',
			'content-type': 'text/event-stream; charset=utf-8',
			'x-accel-buffering': 'no',
		})
	})

	it('that the app ends itself has nothing written behind its end', async () => {
		const { url, streams, errors } = await serve({}, { http2: true })
		const client = ask(url)
		const { stream, res } = await streams.next()
		stream.message({ data: 'before' })
		res.end('data:last\n\n')
		stream.message({ data: 'behind' })
		expect(await client.body()).toBe('data:before\n\ndata:last\n\n')
		expect(client.request.rstCode).toBe(0)
		await until(() => stream.closed)
		expect(errors).toEqual([])
	})

	it('that the app has ended leaves its connection in a drain, although its client takes nothing', async () => {
		const { manager, url, streams } = await serve({}, { http2: true })
		const client = ask(url)
		const { res } = await streams.next()
		res.end('x'.repeat(1_000_000))
		const closed = manager.close()
		await until(() => client.goneAway)
		client.read()
		await closed
	})
})

describe('what waits for a client over HTTP/2', () => {
	it('is counted also while it is too little for a pause', async () => {
		const { manager, url, streams } = await serve({}, { http2: true })
		ask(url)
		const { stream, res } = await streams.next()
		const wire = streamOf(res)
		let mostWithoutPause = 0
		while (stream.message({ data: 'x'.repeat(5_000) })) {
			await nextTurn()
			expect(manager.stats().bufferedBytes).toBeGreaterThanOrEqual(wire.writableLength)
			mostWithoutPause = Math.max(mostWithoutPause, wire.writableLength)
		}
		expect(mostWithoutPause).toBeGreaterThan(0)
	})

	it('is counted also while a compressor holds it', async () => {
		const { manager, url, streams } = await serve(
			{},
			{
				http2: true,
				before(_req, res) {
					res.write = () => false
				},
			},
		)
		ask(url)
		const { stream } = await streams.next()
		stream.message({ data: 'x'.repeat(5_000) })
		expect(manager.stats().bufferedBytes).toBeGreaterThanOrEqual(5_000)
	})

	it('waits for the stream also behind a write that returns nothing', async () => {
		const { url, streams } = await serve(
			{},
			{
				http2: true,
				before(_req, res) {
					const write = res.write.bind(res)
					res.write = ((chunk: Buffer) => void write(chunk)) as unknown as typeof res.write
				},
			},
		)
		const client = ask(url)
		const { stream, res } = await streams.next()
		stream.message({ data: 'x'.repeat(1_000_000) })
		expect(streamOf(res).writableLength).toBeLessThan(65_536)
		client.read()
		await until(() => client.text.length > 1_000_000)
		stream.close()
	})

	it('adds one listener, however often the client falls behind', async () => {
		const { url, streams } = await serve({}, { http2: true })
		const client = ask(url)
		client.read()
		const { stream, res } = await streams.next()
		for (let times = 0; times < 5; times++) {
			expect(stream.message({ data: 'x'.repeat(200_000) })).toBe(false)
			await stream.drain()
		}
		expect(res.listenerCount('drain')).toBe(1)
	})

	it('is flushed where a compressor offers it', async () => {
		let flushed = 0
		const { url, streams } = await serve(
			{},
			{
				http2: true,
				before(_req, res) {
					const write = res.write.bind(res)
					res.write = (chunk: unknown) => write(chunk)
					Object.assign(res, { flush: () => void flushed++ })
				},
			},
		)
		ask(url)
		const { stream } = await streams.next()
		stream.message({ data: 'a' })
		expect(flushed).toBe(1)
	})
})

describe('a client over HTTP/2 that is not let in', () => {
	const no = { method: 'custom', verify: () => false } as const
	const never = { method: 'custom', verify: () => new Promise<boolean>(() => {}) } as const

	it.each([
		['that of the app', 'Basic realm="a"'],
		['one that opens no dialog', undefined],
	])('gets a challenge: %s', async (_whose, challenge) => {
		const { url } = await serve(
			{},
			{
				http2: true,
				stream: { authentication: no },
				before(_req, res) {
					if (challenge !== undefined) res.setHeader('WWW-Authenticate', challenge)
				},
				onStream: (stream) => void stream.authenticate(),
			},
		)
		const client = ask(url)
		expect(await client.head()).toMatchObject({
			':status': 401,
			'www-authenticate': challenge ?? 'Bearer',
			'cache-control': 'no-store',
			'content-type': 'text/event-stream; charset=utf-8',
		})
		expect(await client.body()).toMatch(/^event:error\n/)
	})

	it('is told so behind the head that the app has sent', async () => {
		const { url, errors } = await serve(
			{},
			{
				http2: true,
				stream: { authentication: no },
				before: (_req, res) => void res.writeHead(200),
				onStream: (stream) => void stream.authenticate(),
			},
		)
		const client = ask(url)
		expect(await client.body()).toMatch(/^event:error\n/)
		expect(errors).toEqual([])
	})

	it('gets no content type with an answer that has no body', async () => {
		const { url } = await serve(
			{},
			{ http2: true, stream: { authentication: never }, onStream: (stream) => stream.close() },
		)
		const client = ask(url)
		const head = await client.head()
		expect(head).toMatchObject({ ':status': 204 })
		expect(head).not.toHaveProperty('content-type')
		expect(await client.body()).toBe('')
	})
})

import { get } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { createGunzip } from 'node:zlib'
import { openSse, until } from '@evstream/testkit'
import compression from 'compression'
import type { Request, Response } from 'express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { eventsOf, openRaw, parseChunked } from './support/streams-raw.js'
import { serve } from './support/streams-server.js'

const GET = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
const compress = compression()

describe('a stream behind a compressor', () => {
	it('is compressed when the app allows transforming, and each event arrives by itself', async () => {
		const { url, manager } = await serve(
			{},
			{
				before: (req, res) => {
					res.setHeader('Cache-Control', 'no-cache')
					// Node's response is what express extends; the middleware uses nothing else of it.
					compress(req as Request, res as Response, () => {})
				},
			},
		)
		let text = ''
		let encoding: string | undefined
		const request = get(`${url}/?channel=a`, { headers: { 'accept-encoding': 'gzip' } }, (response) => {
			encoding = response.headers['content-encoding']
			const gunzip = createGunzip()
			gunzip.on('error', () => {})
			response.on('error', () => {})
			response.pipe(gunzip).on('data', (part: Buffer) => {
				text += part
			})
		})
		onTestFinished(() => void request.destroy())
		request.on('error', () => {})
		await until(() => manager.stats().listeners === 1)
		for (const data of ['one', 'two', 'three']) {
			manager.send('a', { data })
			await until(() => text.includes(`data:${data}\n\n`))
		}
		expect(encoding).toBe('gzip')
		expect(eventsOf(text)).toEqual(['message:one', 'message:two', 'message:three'])
	})

	it('is left alone by it without a Cache-Control of the app', async () => {
		const { port, manager } = await serve(
			{},
			{ before: (req, res) => compress(req as Request, res as Response, () => {}) },
		)
		const request = GET('/?channel=a').replace('\r\n\r\n', '\r\nAccept-Encoding: gzip\r\n\r\n')
		const client = await openRaw(port, request)
		await until(() => manager.stats().listeners === 1)
		manager.send('a', { data: 'one' })
		await until(() => client.text.includes('data:one'))
		const { head, body } = parseChunked(client.text)
		expect(head).not.toMatch(/content-encoding/i)
		expect(head).toMatch(/cache-control: no-cache, no-transform/i)
		expect(eventsOf(body)).toEqual(['message:one'])
	})
})

describe('a stream whose res.write is not Node’s own', () => {
	it('passes everything through a write that was replaced before it began', async () => {
		const passed: string[] = []
		const { url, manager } = await serve(
			{},
			{
				before: (_req, res) => {
					const write = res.write.bind(res)
					res.write = (chunk: unknown) => {
						passed.push(String(chunk))
						return write(String(chunk).replace('data:', 'data:changed '))
					}
				},
			},
		)
		const client = await openSse(`${url}/?channel=a`)
		manager.send('a', { data: 'one' })
		manager.send('a', { data: 'two' })
		await until(() => client.events.length > 0)
		expect(passed.join('')).toBe('data:one\n\ndata:two\n\n')
		expect(client.events[0]?.data).toBe('changed one')
	})

	it('passes everything from then on through a write that is replaced later', async () => {
		const { port, streams } = await serve()
		const client = await openRaw(port, GET())
		const { stream, res } = await streams.next()
		stream.message({ data: 'direct' })
		const write = res.write.bind(res)
		res.write = (chunk: unknown) => write(String(chunk).replace('plain', 'changed'))
		stream.message({ data: 'plain 1' })
		stream.message({ data: 'plain 2' })
		await until(() => client.text.includes('plain 2') || client.text.includes('changed 2'))
		const { body } = parseChunked(client.text)
		expect(eventsOf(body)).toEqual(['message:direct', 'message:changed 1', 'message:changed 2'])
	})

	it('keeps its place among what the app itself writes to the response', async () => {
		const { port, streams } = await serve()
		const client = await openRaw(port, GET())
		const { stream, res } = await streams.next()
		const expected: string[] = []
		for (let round = 0; round < 5; round++) {
			stream.message({ data: `ours ${round}` })
			res.write(`data:theirs ${round}\n\n`)
			stream.message({ data: `ours again ${round}` })
			expected.push(`message:ours ${round}`, `message:theirs ${round}`, `message:ours again ${round}`)
			if (round % 2 === 0) await until(() => client.text.includes(`ours again ${round}`))
		}
		stream.close()
		await until(() => parseChunked(client.text).complete)
		expect(eventsOf(parseChunked(client.text).body)).toEqual([...expected, 'end:'])
	})
})

describe('a response that is not plain HTTP/1.1', () => {
	it('has no chunked coding on HTTP/1.0', async () => {
		const { port, manager, streams } = await serve()
		const client = await openRaw(port, 'GET /?channel=a HTTP/1.0\r\n\r\n')
		const { stream } = await streams.next()
		manager.send('a', { data: 'one' })
		stream.message({ data: 'two' })
		stream.close()
		await client.closed
		const [head = '', body] = client.text.split('\r\n\r\n')
		expect(head).not.toMatch(/transfer-encoding/i)
		expect(body).toBe('data:one\n\ndata:two\n\nevent:end\ndata:\n\n')
	})

	it('has no body when the method is HEAD', async () => {
		const { port, manager } = await serve(
			{},
			{ onStream: (stream) => void stream.message({ data: 'never' }) },
		)
		const client = await openRaw(port, `${GET('/?channel=a').replace('GET', 'HEAD')}`)
		await until(() => client.text.endsWith('\r\n\r\n'))
		manager.send('a', { data: 'never' })
		await until(() => manager.stats().connections === 0)
		expect(client.text).toMatch(/^HTTP\/1\.1 200 [\s\S]*content-type: text\/event-stream[\s\S]*\r\n\r\n$/i)
		expect(client.text).not.toContain('never')
	})

	it('carries the same events over TLS', async () => {
		const { url, manager, streams } = await serve({}, { https: true })
		const client = await openSse(`${url}/?channel=a`)
		const { stream } = await streams.next()
		manager.send('a', { data: 'one' })
		stream.message({ data: 'two' })
		manager.send('a', { data: 'x'.repeat(100_000) })
		stream.close()
		await client.closed
		expect(client.events.map(({ data }) => data.length)).toEqual([3, 3, 100_000, 0])
	})

	it.each([false, true])(
		'carries the same events over HTTP/2, without a connection header (TLS: %s)',
		async (https) => {
			const { url, manager, streams } = await serve({}, { http2: true, https })
			const session = connectHttp2(url, { rejectUnauthorized: false })
			onTestFinished(() => void session.destroy())
			const request = session.request({ ':path': '/?channel=a' })
			let text = ''
			request.setEncoding('utf8').on('data', (part: string) => {
				text += part
			})
			const headers = await new Promise<Record<string, unknown>>((resolve) =>
				request.once('response', resolve),
			)
			const { stream } = await streams.next()
			manager.send('a', { data: 'one' })
			stream.message({ data: 'two' })
			manager.send('a', { data: 'three' })
			stream.close()
			await until(() => request.closed)
			expect(headers).toMatchObject({ ':status': 200, 'content-type': 'text/event-stream; charset=utf-8' })
			expect(headers).not.toHaveProperty('connection')
			expect(eventsOf(text)).toEqual(['message:one', 'message:two', 'message:three', 'end:'])
		},
	)
})

describe('a head that somebody else writes', () => {
	it('goes out before the first event when the app called writeHead', async () => {
		const { port, manager } = await serve(
			{},
			{ before: (_req, res) => res.writeHead(202, { 'Content-Type': 'text/event-stream', 'X-App': 'yes' }) },
		)
		const client = await openRaw(port, GET('/?channel=a'))
		// The head alone lets the browser's `open` event fire.
		await until(() => client.text.includes('\r\n\r\n'))
		manager.send('a', { data: 'one' })
		await until(() => client.text.includes('data:one'))
		const { head, body } = parseChunked(client.text)
		expect(head).toMatch(/^HTTP\/1\.1 202 /)
		expect(head).toMatch(/x-app: yes/i)
		expect(eventsOf(body)).toEqual(['message:one'])
	})

	it('has what a plugin adds by a writeHead of its own', async () => {
		const { port, manager } = await serve(
			{},
			{
				before: (_req, res) => {
					const writeHead: (status: number, headers: Record<string, string>) => typeof res =
						res.writeHead.bind(res)
					res.writeHead = ((status: number, headers: Record<string, string>) => {
						res.setHeader('X-Late', 'yes')
						return writeHead(status, { ...headers, 'X-Plugin': 'yes' })
					}) as typeof res.writeHead
				},
			},
		)
		const client = await openRaw(port, GET('/?channel=a'))
		await until(() => manager.stats().listeners === 1)
		manager.send('a', { data: 'one' })
		await until(() => client.text.includes('data:one'))
		const { head, body } = parseChunked(client.text)
		expect(head).toMatch(/x-late: yes/i)
		expect(head).toMatch(/x-plugin: yes/i)
		expect(eventsOf(body)).toEqual(['message:one'])
	})
})

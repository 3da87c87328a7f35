import { once } from 'node:events'
import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { EvStreamManager } from '../src/index.js'
import { get, openRaw } from './support/raw-client.js'
import { serve as serveHttp } from './support/serve.js'
import { serve } from './support/streams-server.js'

describe('a stream on a request whose body was read before', () => {
	it.each(['leaves', 'is closed'])('ends when the client %s, and not when the request has', async (how) => {
		const manager = new EvStreamManager()
		const reasons: string[] = []
		const server = await serveHttp(async (req, res) => {
			// As behind a body parser: the request has said everything it ever says.
			const over = once(req, 'close')
			req.resume()
			await over
			const stream = manager.createStream(req, res)
			stream.onClose((_channels, reason) => void reasons.push(reason))
			stream.listen('a')
		})
		const body = { 'Content-Type': 'application/json', 'Content-Length': '2' }
		const client = await openRaw(server.port, `${get('/', body, '1.1', 'POST')}{}`)
		await until(() => manager.stats().listeners === 1)
		manager.send('a', { data: 'one' })
		await client.has('data:one')
		expect(reasons).toEqual([])
		if (how === 'leaves') client.socket.destroy()
		else await manager.close()
		await until(() => reasons.length > 0)
		expect(reasons).toEqual([how === 'leaves' ? 'disconnected' : 'shutdown'])
		expect(manager.stats()).toMatchObject({ connections: 0, listeners: 0 })
	})
})

describe('a response the app has begun', () => {
	it('keeps the bytes that wait in it before the first event', async () => {
		const { port, streams } = await serve(
			{},
			{
				before(_req, res) {
					res.writeHead(200, { 'Content-Type': 'text/event-stream' })
					res.flushHeaders()
					res.cork()
					res.write(':before\n\n')
					setImmediate(() => res.uncork())
				},
				onStream: (stream) => void stream.message({ data: 'first' }),
			},
		)
		const client = await openRaw(port)
		const { stream } = await streams.next()
		await client.has('data:first')
		stream.message({ data: 'second' })
		stream.close()
		await until(() => client.complete)
		expect(client.body).toBe(':before\n\ndata:first\n\ndata:second\n\nevent:end\ndata:\n\n')
	})

	it('keeps the connection header of the app: a server that drains its connections says close', async () => {
		const { port, streams } = await serve({}, { before: (_req, res) => res.setHeader('Connection', 'close') })
		const client = await openRaw(port, get())
		const { stream } = await streams.next()
		stream.close()
		await client.ended
		expect(client.head).toMatch(/^connection: close\r$/im)
		expect(client.complete).toBe(true)
	})
})

describe('a response the app ends itself', () => {
	it('has nothing written behind its end, and its connection takes the next request', async () => {
		const { port, manager, streams } = await serve()
		const client = await openRaw(port, get('/?channel=a'))
		const { stream, res } = await streams.next()
		stream.message({ data: 'before' })
		// The client does not read: the end waits, so that no event of the response tells of it yet.
		const socket = res.socket
		socket?.cork()
		res.end('data:last\n\n')
		stream.message({ data: 'direct' })
		manager.send('a', { data: 'channel' })
		await new Promise(setImmediate)
		manager.send('a', { data: 'later' })
		socket?.uncork()
		await until(() => client.complete)
		expect(client.body).toBe('data:before\n\ndata:last\n\n')
		await until(() => stream.closed)
		client.socket.write(get('/?channel=a'))
		const next = await streams.next()
		next.stream.message({ data: 'next' })
		await client.has('data:next')
		expect(client.text).not.toMatch(/direct|channel|later/)
	})
})

describe('a response whose write was replaced', () => {
	it.each(['before the stream', 'later'])('counts what a compressor holds (%s)', async (when) => {
		const { port, manager, streams } = await serve(
			{},
			{
				before(_req, res) {
					if (when === 'before the stream') res.write = () => false
				},
			},
		)
		await openRaw(port, get())
		const { stream, res } = await streams.next()
		res.write = () => false
		stream.message({ data: 'x'.repeat(5_000) })
		expect(manager.stats().bufferedBytes).toBeGreaterThanOrEqual(5_000)
		stream.message({ data: 'x'.repeat(5_000) })
		expect(manager.stats().bufferedBytes).toBeGreaterThanOrEqual(10_000)
	})

	it('is waited for also if the write returns nothing', async () => {
		const { port, streams } = await serve(
			{},
			{
				before(_req, res) {
					const write = res.write.bind(res)
					res.write = ((chunk: Buffer) => void write(chunk)) as unknown as typeof res.write
				},
			},
		)
		const client = await openRaw(port, get())
		client.socket.pause()
		const { stream, res } = await streams.next()
		stream.message({ data: 'x'.repeat(12_000_000) })
		expect(res.writableLength).toBeLessThan(200_000)
		client.socket.resume()
		await until(() => client.text.length > 12_000_000, { timeout: 15_000 })
	})

	it('has nothing written behind the end of the app, although much waits', async () => {
		const { port, streams, errors } = await serve(
			{},
			{
				before(_req, res) {
					const write = res.write.bind(res)
					res.write = (chunk: unknown) => {
						write(chunk)
						return false
					}
				},
			},
		)
		const client = await openRaw(port, get())
		const { stream, res } = await streams.next()
		stream.message({ data: 'x'.repeat(100_000) })
		res.end(':end\n\n')
		expect(stream.message({ data: 'behind' })).toBe(false)
		res.emit('drain')
		await until(() => client.complete)
		expect(client.body.endsWith('x:end\n\n')).toBe(true)
		expect(errors).toEqual([])
	})
})

describe('a response that was over before its stream began', () => {
	it('does not count among those that wait for their turn on the connection', async () => {
		const manager = new EvStreamManager()
		let closed = 0
		const server = await serveHttp(async (req, res) => {
			const over = once(res, 'close')
			res.end()
			await over
			if (manager.createStream(req, res).closed) closed++
		})
		const client = await openRaw(server.port, '')
		for (let n = 1; n <= 20; n++) {
			client.socket.write(get())
			await until(() => closed === n)
		}
		expect(client.text.split('200 OK')).toHaveLength(21)
		await manager.close()
	})
})

describe('a response that carries a stream', () => {
	it('takes no second one, and the first goes on', async () => {
		const manager = new EvStreamManager()
		const thrown: unknown[] = []
		const server = await serveHttp((req, res) => {
			const stream = manager.createStream(req, res)
			try {
				manager.createStream(req, res)
			} catch (error) {
				thrown.push(error)
			}
			stream.message({ data: 'first' })
		})
		const client = await openRaw(server.port)
		await client.has('data:first')
		expect(thrown).toEqual([expect.any(TypeError)])
		expect(manager.stats().connections).toBe(1)
	})
})

import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { Writable } from 'node:stream'
import { until } from '@evstream/testkit'
import compression from 'compression'
import type { Request as ExpressRequest, Response as ExpressResponse } from 'express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type EvManagedStream, type EvManagerOptions, EvStreamManager } from '../src/index.js'
import { connect } from './support/serve.js'
import { serve } from './support/streams-server.js'
import { holdSocket, nextTurn } from './support/streams-slow.js'

/** A client that takes nothing until it is told to, on one of the paths to it. */
interface Reluctant {
	readonly manager: EvStreamManager
	readonly stream: EvManagedStream
	/** Everything so far. */
	text(): string
	resume(): void
}

type Path = (options: EvManagerOptions) => Promise<Reluctant>

async function http1(
	options: EvManagerOptions,
	before?: NonNullable<Parameters<typeof serve>[1]>['before'],
): Promise<Reluctant> {
	const { manager, url, streams } = await serve(options, before === undefined ? {} : { before })
	const client = await connect(url)
	client.pause()
	const { stream } = await streams.next()
	return { manager, stream, text: () => client.raw, resume: client.resume }
}

const compress = compression()

const paths: { path: string; open: Path }[] = [
	{ path: 'straight to the socket', open: (options) => http1(options) },
	{
		path: 'through a write that was replaced',
		open: (options) =>
			http1(options, (_req, res) => {
				const write = res.write.bind(res)
				res.write = ((chunk: Buffer) => write(chunk)) as typeof res.write
			}),
	},
	{
		path: 'behind a compressor that leaves the response alone',
		open: (options) =>
			http1(options, (req, res) => compress(req as ExpressRequest, res as ExpressResponse, () => {})),
	},
	{
		path: 'over HTTP/2',
		async open(options) {
			const { manager, url, streams } = await serve(options, { http2: true })
			const session = connectHttp2(url)
			onTestFinished(() => void session.destroy())
			session.on('error', () => {})
			const request = session.request({ ':path': '/' })
			let text = ''
			request.on('error', () => {})
			request.setEncoding('utf8').on('data', (part: string) => {
				text += part
			})
			request.pause()
			const { stream } = await streams.next()
			return { manager, stream, text: () => text, resume: () => void request.resume() }
		},
	},
	{
		path: 'in a web response',
		async open(options) {
			const manager = new EvStreamManager(options)
			onTestFinished(() => manager.close())
			const { stream, response } = manager.createResponse(new Request('http://localhost/'))
			let text = ''
			const resume = async () => {
				const decoder = new TextDecoder()
				for await (const part of response.body ?? []) text += decoder.decode(part, { stream: true })
			}
			return { manager, stream, text: () => text, resume: () => void resume() }
		},
	},
]

describe.each(paths)('a client $path', ({ open }) => {
	it.each([4_000, 100_000])(
		'that was left out of messages (drop, %d bytes) gets one reset once it reads',
		async (maxBuffer) => {
			const { manager, stream, text, resume } = await open({ maxBuffer, slow: 'drop' })
			const data = 'x'.repeat(1_000)
			let last = 0
			const send = () => manager.to(stream.id, { data: `${++last} ${data}` })
			// Until nothing more is taken in: what waits stays the same however much is sent.
			let before = 0
			for (let same = 0; same < 20; ) {
				send()
				// Each in a turn of its own: what the channel to the client takes it takes before the next one.
				await nextTurn()
				const { bufferedBytes } = manager.stats()
				same = bufferedBytes > 0 && bufferedBytes === before ? same + 1 : 0
				before = bufferedBytes
			}
			const { bufferedBytes, resets } = manager.stats()
			expect(bufferedBytes).toBeLessThanOrEqual(maxBuffer)
			expect(resets).toBe(0)
			expect(text()).not.toContain('event:reset')
			resume()
			await until(() => text().includes('event:reset\ndata:{"reason":"slow"}\n\n'))
			expect(stream.message({ event: 'again', data: '' })).toBe(true)
			await until(() => text().includes('event:again'))
			expect(text().split('event:reset')).toHaveLength(2)
			// The reset stands where the messages are missing: what was before it is complete.
			const numbers = [...text().matchAll(/^data:(\d+) /gm)].map(([, number]) => Number(number))
			expect(numbers).toEqual(numbers.map((_, n) => n + 1))
			expect(numbers.length).toBeLessThan(last)
		},
	)

	it('that takes nothing is stalled, although it is sent a little again and again', async () => {
		const { stream, manager } = await open({ stallTimeout: 300, keepAlive: 50 })
		const reasons: string[] = []
		stream.onClose((_channels, reason) => void reasons.push(reason))
		while (manager.stats().bufferedBytes === 0) {
			stream.message({ data: 'x'.repeat(10_000) })
			await nextTurn()
		}
		await until(() => {
			// A few bytes each time: what waits never grows to what counts as behind.
			stream.message({ data: '' })
			return stream.closed
		})
		expect(reasons).toEqual(['stalled'])
	})
})

describe('a client that takes all of it, but is always a little behind', () => {
	/** From here on the channel to the client takes what waits only when it is told to. */
	function trickle(to: Writable): () => void {
		const taken: (() => void)[] = []
		to._write = (_chunk, _encoding, done) => void taken.push(done)
		to._writev = (_chunks, done) => void taken.push(done)
		return () => taken.shift()?.()
	}

	it.each([
		['straight to the socket', {}],
		[
			'through a write that was replaced',
			{
				before: (_req: IncomingMessage, res: ServerResponse) => {
					const write = res.write.bind(res)
					res.write = ((chunk: Buffer) => write(chunk)) as typeof res.write
				},
			},
		],
		['over HTTP/2', { http2: true }],
	])('is not slow (%s)', async (_, options) => {
		// More than a socket takes without asking to pause: 16 KB on Node 20, 64 KB later.
		const data = 'x'.repeat(70_000)
		const maxBuffer = 10 * data.length
		const { manager, url, streams } = await serve({ maxBuffer }, options)
		if ('http2' in options) {
			const session = connectHttp2(url)
			onTestFinished(() => void session.destroy())
			session.on('error', () => {})
			session.request({ ':path': '/' }).on('error', () => {})
		} else await connect(url)
		const { stream, res } = await streams.next()
		await nextTurn()
		const target: unknown = 'http2' in options ? Reflect.get(res, 'stream') : res.socket
		if (!(target instanceof Writable)) throw new Error('There is nothing to write to')
		const take = trickle(target)
		for (let n = 0; n < 50; n++) {
			stream.message({ data })
			stream.message({ data })
			await nextTurn()
			// Of what goes through the response it takes a piece at a time, of the socket all that was written at once.
			do {
				take()
				await nextTurn()
			} while (manager.stats().bufferedBytes > 3 * data.length)
			expect(manager.stats().bufferedBytes, `after ${n} times`).toBeGreaterThan(0)
			expect(manager.stats().bufferedBytes, `after ${n} times`).toBeLessThan(maxBuffer / 2)
		}
		expect(stream.closed).toBe(false)
	})
})

describe('a client that reads', () => {
	it('is not stalled because this process was held up for longer than stallTimeout', async () => {
		const { url, streams } = await serve({ stallTimeout: 100, maxBuffer: 100_000_000 })
		const client = await connect(url)
		const { stream } = await streams.next()
		// More than the kernel takes at once, and then a turn in which nobody can see what the client takes.
		for (let n = 0; n < 300; n++) stream.message({ data: 'x'.repeat(65_536) })
		const end = performance.now() + 400
		while (performance.now() < end);
		stream.message({ event: 'end', data: '' })
		await client.next('end', 10_000)
		expect(stream.closed).toBe(false)
	})
})

describe('a client behind a compressor', () => {
	it('may fall behind and catch up again and again without a listener being left each time', async () => {
		const warnings: string[] = []
		const listen = ({ name }: Error) => void warnings.push(name)
		process.on('warning', listen)
		onTestFinished(() => void process.off('warning', listen))
		const { url, streams } = await serve(
			{},
			{
				before: (req, res) => {
					res.setHeader('Cache-Control', 'no-cache')
					compress(req as ExpressRequest, res as ExpressResponse, () => {})
				},
			},
		)
		const client = await connect(url, { headers: { 'accept-encoding': 'gzip' } })
		expect(client.headers['content-encoding']).toBe('gzip')
		const { stream } = await streams.next()
		for (let times = 0; times < 15; ) {
			if (stream.message({ data: randomBytes(30_000).toString('base64') })) continue
			times++
			await stream.drain()
		}
		await nextTurn()
		expect(warnings).toEqual([])
	})
})

describe('a socket that holds exactly as much as it takes without asking to pause', () => {
	it('is waited for, and with one byte less it is not', async () => {
		for (const missing of [1, 0]) {
			const { url, streams } = await serve()
			await connect(url)
			const { stream, res } = await streams.next()
			await nextTurn()
			const { socket } = res
			if (socket === null) throw new Error('no socket')
			const release = holdSocket(res)
			expect(socket.writableLength).toBe(0)
			// As one chunk of the chunked coding: four digits and two line ends around `data:` and two more.
			const data = 'x'.repeat(socket.writableHighWaterMark - missing - 8 - 7)
			expect(stream.message({ data })).toBe(missing === 1)
			expect(socket.writableLength).toBe(socket.writableHighWaterMark - missing)
			release()
			await stream.drain()
			stream.close()
		}
	})
})

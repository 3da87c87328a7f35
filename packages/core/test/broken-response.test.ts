import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { AwaitableQueue, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EvStreamManager } from '../src/index.js'
import { connect } from './support/serve.js'
import { type Served, type ServeOptions, serve } from './support/streams-server.js'
import { nextTurn, reasonOf } from './support/streams-slow.js'
import { Endings } from './support/watch.js'

const broken = new Error('of the wrapper')

/** Makes a method of the response of `/bad` throw from the given call on. */
function breaking(method: 'write' | 'end' | 'writeHead' | 'destroy', from = 1): ServeOptions {
	return {
		before(req: IncomingMessage, res: ServerResponse) {
			if (!req.url?.startsWith('/bad')) return
			let calls = 0
			const own: unknown = Reflect.get(res, method)
			if (typeof own !== 'function') throw new Error(`no ${method}`)
			Reflect.set(res, method, (...args: unknown[]): unknown => {
				if (++calls >= from) throw broken
				return own.apply(res, args)
			})
		},
	}
}

/** Two streams of the server and one of another manager. The one between them is broken. */
async function neighbours(served: Served, http2: boolean) {
	const { manager, url, streams } = served
	const other = await serve({}, { http2 })
	const texts = new Map<string, () => string>()
	async function open(name: string, at: string): Promise<void> {
		if (!http2) {
			// One that is broken may never have a head.
			connect(`${at}/${name}?channel=a`).then(
				(client) => texts.set(name, () => client.raw),
				() => {},
			)
			return
		}
		let text = ''
		texts.set(name, () => text)
		const session = connectHttp2(at)
		onTestFinished(() => void session.destroy())
		session.on('error', () => {})
		const request = session.request({ ':path': `/${name}?channel=a` })
		request.on('error', () => {})
		request.setEncoding('utf8').on('data', (part: string) => {
			text += part
		})
	}
	return { manager, streams, other, texts, open, url }
}

describe.each([
	['HTTP/1.1', false],
	['HTTP/2', true],
])('a response over %s', (_name, http2) => {
	it.each([1, 2, 3])(
		'whose write throws the %d. time ends its own stream, and nobody else’s',
		async (from) => {
			const served = await serve({}, { ...breaking('write', from), http2 })
			const { manager, streams, other, texts, open, url } = await neighbours(served, http2)
			const endings = new Endings()
			await open('before', url)
			const before = await streams.next()
			await open('bad', url)
			const { stream } = await streams.next()
			stream.onClose(endings.callback)
			await open('after', url)
			const after = await streams.next()
			await open('other', other.url)
			const elsewhere = await other.streams.next()
			for (let n = 1; n <= 5; n++) {
				manager.send('a', { data: `message ${n}` })
				other.manager.send('a', { data: `message ${n}` })
				await nextTurn()
			}
			expect(await endings.next()).toEqual({ channels: ['a'], reason: 'failed' })
			expect(served.errors).toEqual([broken])
			expect(other.errors).toEqual([])
			expect([before, after, elsewhere].map(({ stream: { closed } }) => closed)).toEqual([
				false,
				false,
				false,
			])
			const all = [1, 2, 3, 4, 5].map((n) => `data:message ${n}\n\n`).join('')
			for (const name of ['before', 'after', 'other'])
				await until(() => texts.get(name)?.().includes(all), { what: name })
			await until(() => manager.stats().connections === 2 && manager.stats().ending === 0)
		},
	)

	it('whose end throws is cut off, and close of the manager resolves', async () => {
		const served = await serve({}, { ...breaking('end'), http2 })
		const { manager, streams, open, url } = await neighbours(served, http2)
		await open('bad', url)
		const { stream } = await streams.next()
		const reason = reasonOf(stream)
		stream.close()
		expect(await reason).toBe('closed')
		expect(served.errors).toEqual([broken])
		await until(() => manager.stats().ending === 0)
		await open('bad', url)
		await streams.next()
		await manager.close()
		expect(served.errors).toEqual([broken, broken])
	})

	it('whose writeHead throws never opens, and its client is let go', async () => {
		const served = await serve({}, { ...breaking('writeHead'), http2 })
		const { manager, streams, open, url } = await neighbours(served, http2)
		await open('bad', url)
		const { stream } = await streams.next()
		expect(stream.closed).toBe(true)
		expect(served.errors).toEqual([broken])
		expect(await reasonOf(stream)).toBe('failed')
		await until(() => manager.stats().ending === 0)
		expect(manager.stats()).toMatchObject({ connections: 0, listeners: 0 })
	})
})

describe('a response whose client is being cut off', () => {
	it('and whose destroy throws is counted no more, and reported', async () => {
		const served = await serve({ maxBuffer: 0 }, breaking('destroy'))
		const client = connect(`${served.url}/bad?channel=a`)
		const { stream, res } = await served.streams.next()
		;(await client).pause()
		const reason = reasonOf(stream)
		while (!stream.closed) {
			served.manager.send('a', { data: 'x'.repeat(65_536) })
			await nextTurn()
		}
		expect(await reason).toBe('slow')
		expect(served.errors).toEqual([broken])
		expect(served.manager.stats()).toMatchObject({ connections: 0, ending: 0, bufferedBytes: 0 })
		res.socket?.destroy()
	})
})

describe('a web response whose enqueue throws', () => {
	/** From here on each controller of a body throws when something is enqueued, from the given call on. */
	function breakEnqueue(from: number): void {
		const { prototype } = ReadableStreamDefaultController
		const { enqueue } = prototype
		let calls = 0
		prototype.enqueue = function (chunk): void {
			if (++calls >= from) throw broken
			enqueue.call(this, chunk)
		}
		onTestFinished(() => {
			prototype.enqueue = enqueue
		})
	}

	it.each([1, 2])('the %d. time ends its own stream, and nobody else’s', async (from) => {
		const errors: unknown[] = []
		const manager = new EvStreamManager({ onError: (error) => errors.push(error) })
		const { url, manager: other, streams } = await serve()
		const client = await connect(`${url}/?channel=a`)
		await streams.next()
		breakEnqueue(from)
		const { stream, response } = manager.createResponse(new Request('http://localhost/'))
		const reason = reasonOf(stream)
		if (!stream.closed) stream.listen('a')
		for (let n = 1; n <= 3; n++) {
			manager.send('a', { data: `${n}` })
			other.send('a', { data: `${n}` })
			await nextTurn()
		}
		expect(await reason).toBe('failed')
		expect(errors).toEqual([broken])
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 0, listeners: 0 })
		await expect(response.text()).rejects.toThrow('cut off')
		await client.next(({ data }) => data === '3')
	})

	it('while its consumer reads ends its own stream', async () => {
		const errors: unknown[] = []
		const manager = new EvStreamManager({ onError: (error) => errors.push(error) })
		const { stream, response } = manager.createResponse(new Request('http://localhost/'))
		// The opening comment, and the first piece of five.
		const endings = new AwaitableQueue<string>()
		stream.onClose((_channels, reason) => endings.push(reason))
		stream.message({ data: 'x'.repeat(300_000) })
		breakEnqueue(1)
		await expect(response.text()).rejects.toThrow('cut off')
		expect(await endings.next()).toBe('failed')
		expect(errors).toEqual([broken])
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 0 })
	})
})

describe.each([
	['HTTP/1.1', false],
	['HTTP/2', true],
])('what waits for a client over %s', (_name, http2) => {
	it('ends its stream when handing it on throws', async () => {
		let calls = 0
		const { manager, url, streams, errors } = await serve(
			{},
			{
				http2,
				before(_req, res) {
					const write = res.write.bind(res)
					res.write = (chunk: unknown) => {
						if (++calls === 2) throw broken
						write(chunk)
						return false
					}
				},
			},
		)
		if (http2) {
			const session = connectHttp2(url)
			onTestFinished(() => void session.destroy())
			session.on('error', () => {})
			session.request({ ':path': '/' }).on('error', () => {})
		} else connect(url).catch(() => {})
		const { stream, res } = await streams.next()
		const reason = reasonOf(stream)
		stream.message({ data: 'x'.repeat(100_000) })
		expect(calls).toBe(1)
		res.emit('drain')
		expect(await reason).toBe('failed')
		expect(errors).toEqual([broken])
		await until(() => manager.stats().ending === 0)
	})
})

describe('a socket that throws when it is written to', () => {
	it('ends its stream, and nobody else’s', async () => {
		const { manager, url, streams, errors } = await serve()
		const good = await connect(`${url}/?channel=a`)
		await streams.next()
		await connect(`${url}/?channel=a`)
		const { stream, res } = await streams.next()
		await nextTurn()
		const reason = reasonOf(stream)
		Object.assign(res.socket ?? {}, {
			_write() {
				throw broken
			},
			_writev() {
				throw broken
			},
		})
		// Held back for the tick: it is written when the socket is uncorked.
		stream.message({ data: '1' })
		expect(errors).toEqual([])
		manager.send('a', { data: 'to all' })
		expect(await reason).toBe('failed')
		expect(errors).toEqual([broken])
		await until(() => good.raw.includes('data:to all'))
		await until(() => manager.stats().connections === 1 && manager.stats().ending === 0)
	})
})

describe('a comment that keeps the line alive', () => {
	it('ends its stream when writing it throws', async () => {
		const served = await serve({ keepAlive: 20 }, breaking('write'))
		const { manager, streams, errors, url } = served
		connect(`${url}/bad`).catch(() => {})
		const { stream } = await streams.next()
		expect(await reasonOf(stream)).toBe('failed')
		expect(errors).toEqual([broken])
		await until(() => manager.stats().ending === 0)
	})
})

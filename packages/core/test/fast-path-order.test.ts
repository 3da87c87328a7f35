import type { Socket } from 'node:net'
import { openSse, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { eventsOf, openRaw, parseChunked } from './support/streams-raw.js'
import { serve } from './support/streams-server.js'

const GET = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

/** Counts what the socket hands to the kernel. */
function countWrites(socket: Socket): () => number {
	let writes = 0
	const { _write, _writev } = socket
	socket._write = (...args) => {
		writes++
		_write.apply(socket, args)
	}
	socket._writev = (...args) => {
		writes++
		_writev?.apply(socket, args)
	}
	return () => writes
}

function socketOf(res: { socket: Socket | null }): Socket {
	if (res.socket === null) throw new Error('The response has no socket')
	return res.socket
}

describe('pipelined requests', () => {
	it('take their turn: what was sent to the second waits behind the first response', async () => {
		let answerFirst = (): void => {}
		const { port, manager, streams } = await serve(
			{},
			{
				before: (req, res) => {
					if (req.url !== '/first') return true
					answerFirst = () => void res.end('first')
					return false
				},
			},
		)
		const client = await openRaw(port, GET('/first') + GET('/?channel=a'))
		const { stream } = await streams.next()
		manager.send('a', { data: 'one' })
		stream.message({ data: 'two' })
		answerFirst()
		await until(() => client.text.includes('data:two'))
		manager.send('a', { data: 'three' })
		stream.message({ data: 'four' })
		manager.send('a', { data: 'five' })
		await until(() => client.text.includes('data:five'))
		stream.close()
		await until(() => client.text.includes('\r\n0\r\n\r\n'))
		expect(client.text.startsWith('HTTP/1.1 200 OK')).toBe(true)
		const second = parseChunked(client.text.slice(client.text.indexOf('\r\n\r\nfirst') + 9))
		expect(eventsOf(second.body)).toEqual([
			...['message:one', 'message:two', 'message:three', 'message:four', 'message:five'],
			'end:',
		])
		expect(second).toMatchObject({ complete: true, rest: '' })
	})

	it('are forgotten when the client leaves before its turn', async () => {
		const { port, manager, streams } = await serve({}, { before: (req) => req.url !== '/first' })
		const client = await openRaw(port, GET('/first') + GET('/?channel=a'))
		const { stream } = await streams.next()
		client.socket.destroy()
		await until(() => stream.closed)
		expect(manager.stats()).toMatchObject({ connections: 0, listeners: 0 })
	})

	it('are answered after a stream was closed', async () => {
		const { port, streams } = await serve()
		const client = await openRaw(port, GET() + GET())
		const first = await streams.next()
		const second = await streams.next()
		second.stream.message({ data: 'second' })
		first.stream.message({ data: 'first' })
		first.stream.close()
		await until(() => client.text.includes('data:second'))
		second.stream.close()
		const one = parseChunked(client.text)
		await until(() => parseChunked(one.rest === '' ? client.text : parseChunked(client.text).rest).complete)
		expect(eventsOf(one.body)).toEqual(['message:first', 'end:'])
		expect(eventsOf(parseChunked(parseChunked(client.text).rest).body)).toEqual(['message:second', 'end:'])
	})
})

describe('the messages of one tick', () => {
	it('keep the order in which they were sent, over channels and direct messages', async () => {
		const { port, manager, streams } = await serve()
		const client = await openRaw(port, GET('/?channel=a&channel=b'))
		const other = await openRaw(port, GET('/?channel=b'))
		const { stream } = await streams.next()
		await streams.next()
		manager.send('a', { data: '1' })
		manager.send('a', { data: '2' })
		stream.message({ data: '3' })
		manager.send('b', { data: '4' })
		manager.send('a', { data: '5' })
		manager.send('b', { data: '6' })
		void manager.to(stream.id, { data: '7' })
		manager.send('b', { data: '8' }, { except: 'nobody' })
		manager.send('b', { data: '9' })
		manager.send('b', { data: '10' }, { except: 'nobody' })
		await until(() => client.text.includes('data:10') && other.text.includes('data:10'))
		expect(eventsOf(parseChunked(client.text).body).join()).toBe(
			[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => `message:${n}`).join(),
		)
		expect(eventsOf(parseChunked(other.text).body).join()).toBe(
			[4, 6, 8, 9, 10].map((n) => `message:${n}`).join(),
		)
	})

	it('reach each connection as one write', async () => {
		const { url, manager, streams } = await serve()
		const clients = await Promise.all([1, 2, 3].map(() => openSse(`${url}/?channel=a&channel=b`)))
		const held = [await streams.next(), await streams.next(), await streams.next()]
		const counts = held.map(({ res }) => countWrites(socketOf(res)))
		for (let n = 0; n < 50; n++) {
			manager.send(n % 3 === 0 ? 'b' : 'a', { data: `${n}` })
			if (n % 7 === 0) for (const { stream } of held) stream.message({ data: 'direct' })
		}
		await Promise.all(clients.map((client) => client.next(({ data }) => data === '49')))
		expect(counts.map((count) => count())).toEqual([1, 1, 1])
		manager.send('a', { data: 'alone' })
		await Promise.all(clients.map((client) => client.next(({ data }) => data === 'alone')))
		expect(counts.map((count) => count())).toEqual([2, 2, 2])
	})

	it('are joined up to 64 KiB, and what is joined is the same for all', async () => {
		const { url, manager, streams } = await serve({ maxBuffer: 1e9 })
		const clients = [await openSse(`${url}/?channel=a`), await openSse(`${url}/?channel=a`)]
		const written: Buffer[][] = []
		for (const _ of clients) {
			const socket = socketOf((await streams.next()).res)
			const buffers: Buffer[] = []
			written.push(buffers)
			const write = socket.write.bind(socket)
			socket.write = (bytes: string | Uint8Array) => {
				if (Buffer.isBuffer(bytes)) buffers.push(bytes)
				return write(bytes)
			}
		}
		await new Promise(setImmediate)
		for (let n = 0; n < 40; n++) manager.send('a', { data: `${n} ${'x'.repeat(9_990)}` })
		await Promise.all(clients.map((client) => client.next(({ data }) => data.startsWith('39 '))))
		const [first = [], second = []] = written
		expect(first.length).toBe(7)
		for (const { length } of first) expect(length).toBeLessThanOrEqual(65_536 + 20)
		expect(second.every((buffer, n) => buffer === first[n])).toBe(true)
	})

	it('are written when the tick ends, not later', async () => {
		const { url, manager, streams } = await serve()
		await openSse(`${url}/?channel=a`)
		const { stream, res } = await streams.next()
		await new Promise(setImmediate)
		const count = countWrites(socketOf(res))
		manager.send('a', { data: 'channel' })
		await new Promise((resolve) => process.nextTick(resolve))
		expect(count()).toBe(1)
		stream.message({ data: 'direct' })
		await new Promise((resolve) => process.nextTick(resolve))
		expect(count()).toBe(2)
	})

	it('go out with the head as one write', async () => {
		let count = (): number => 0
		const { url } = await serve(
			{},
			{
				before: (_req, res) => {
					count = countWrites(socketOf(res))
				},
				onStream: (stream) => {
					stream.message({ data: 'one' })
					stream.message({ data: 'two' })
				},
			},
		)
		const client = await openSse(url)
		await client.next(({ data }) => data === 'two')
		expect(count()).toBe(1)
	})

	it('are one valid chunked body, whatever their size', async () => {
		const { port, manager, streams } = await serve()
		const client = await openRaw(port, GET('/?channel=a'))
		const { stream } = await streams.next()
		const sizes = [0, 1, 15, 16, 255, 4_095, 16_384, 65_535, 65_536, 70_000, 3]
		for (const size of sizes) manager.send('a', { data: 'é'.repeat(size) })
		stream.message({ data: 'last' })
		stream.close()
		await until(() => client.text.endsWith('\r\n0\r\n\r\n'))
		const { body, complete, rest } = parseChunked(client.text)
		const events = eventsOf(Buffer.from(body, 'latin1').toString('utf8'))
		expect(events.map((event) => event.length - 'message:'.length)).toEqual([
			...sizes,
			'last'.length,
			'end:'.length - 'message:'.length,
		])
		expect({ complete, rest }).toEqual({ complete: true, rest: '' })
	})
})

describe('a socket that fails in the middle of a burst', () => {
	it('ends its own stream once and nobody else’s', async () => {
		const { url, manager, streams, errors } = await serve()
		const doomed = await openSse(`${url}/?channel=a`)
		const first = await streams.next()
		const healthy = await openSse(`${url}/?channel=a`)
		const reasons: string[] = []
		first.stream.onClose((_channels, reason) => void reasons.push(reason))
		for (let n = 0; n < 100; n++) {
			manager.send('a', { data: `${n}` })
			if (n === 50) socketOf(first.res).destroy(new Error('The network is gone'))
			first.stream.message({ data: `direct ${n}` })
		}
		await doomed.closed
		await until(() => first.stream.closed)
		manager.send('a', { data: 'after' })
		await healthy.next(({ data }) => data === 'after')
		expect(healthy.events.map(({ data }) => data)).toEqual([
			...Array.from({ length: 100 }, (_, n) => `${n}`),
			'after',
		])
		expect(reasons).toEqual(['disconnected'])
		expect(first.stream.message({ data: 'late' })).toBe(false)
		expect(errors).toEqual([])
		expect(manager.stats()).toMatchObject({ connections: 1, listeners: 1, bufferedBytes: 0 })
	})
})

import { AwaitableQueue, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { type EvManagedStream, EvStreamManager, type EvStreamManager as Manager } from '../src/index.js'
import { dial, serve, thrownBy, visit } from './support/visit.js'
import { Endings, isEmpty } from './support/watch.js'

async function open(options: ConstructorParameters<typeof Manager>[0] = {}) {
	const manager = new EvStreamManager(options)
	const streams = new AwaitableQueue<EvManagedStream>()
	const server = await serve((req, res) => streams.push(manager.createStream(req, res)))
	const client = await visit(server)
	return { manager, server, client, stream: await streams.next() }
}

describe('onClose', () => {
	it('is told the channels the stream listened to at the end', async () => {
		const { client, stream } = await open()
		const endings = new Endings()
		for (const name of ['a', 'b', 'c', 'a']) stream.listen(name)
		stream.unlisten('b')
		stream.onClose(endings.callback)
		client.close()
		expect(await endings.next()).toEqual({ channels: ['a', 'c'], reason: 'disconnected' })
	})

	it('runs once, soon and with the same channels, when it comes after the end', async () => {
		const { stream } = await open()
		const endings = new Endings()
		stream.listen('a')
		stream.close()
		stream.onClose(endings.callback)
		expect(endings.size).toBe(0)
		expect(await endings.next()).toEqual({ channels: ['a'], reason: 'closed' })
		stream.close(endings.callback)
		expect(await endings.next()).toEqual({ channels: ['a'], reason: 'closed' })
		expect(endings.size).toBe(0)
	})

	it('is told the first reason, also once the client has left after it', async () => {
		const { client, stream, server } = await open()
		stream.listen('a')
		stream.close()
		await client.closed
		await until(
			() => new Promise((resolve) => server.server.getConnections((_error, count) => resolve(count === 0))),
		)
		const endings = new Endings()
		stream.onClose(endings.callback)
		expect(await endings.next()).toEqual({ channels: ['a'], reason: 'closed' })
	})

	it('is what close takes, too', async () => {
		const { stream } = await open()
		const endings = new Endings()
		stream.listen('a')
		stream.close(endings.callback)
		expect(endings.drain()).toEqual([{ channels: ['a'], reason: 'closed' }])
	})

	it('gives its undo, which works once', async () => {
		const { stream } = await open()
		const endings = new Endings()
		const undo = stream.onClose(endings.callback)
		stream.onClose((channels, reason) => endings.push({ channels: ['kept', ...channels], reason }))
		undo()
		undo()
		stream.close()
		expect(endings.drain()).toEqual([{ channels: ['kept'], reason: 'closed' }])
		undo()
	})

	it('keeps the others running when one throws or rejects, and reports both', async () => {
		const errors: unknown[] = []
		const { manager, client, stream } = await open({ onError: (error) => errors.push(error) })
		const endings = new Endings()
		const [thrown, rejected] = [new Error('thrown'), new Error('rejected')]
		stream.listen('a')
		stream.onClose(() => {
			throw thrown
		})
		stream.onClose(async () => {
			throw rejected
		})
		stream.onClose(endings.callback)
		client.close()
		await endings.next()
		await until(() => errors.length === 2)
		expect(errors).toEqual([thrown, rejected])
		expect(isEmpty(manager)).toBe(true)
		expect(stream.signal.aborted).toBe(true)
	})

	it('survives an onError that throws', async () => {
		const warnings: Error[] = []
		const warn = (warning: Error) => warnings.push(warning)
		process.on('warning', warn)
		const { stream } = await open({
			onError: () => {
				throw new Error('of onError')
			},
		})
		const endings = new Endings()
		stream.onClose(() => {
			throw new Error('of onClose')
		})
		stream.onClose(endings.callback)
		stream.close()
		expect(endings.size).toBe(1)
		await until(() => warnings.some(({ message }) => message === 'of onError'))
		process.off('warning', warn)
	})

	it('finds the stream gone from the manager already', async () => {
		const { manager, stream } = await open()
		stream.listen('a')
		let seen: unknown
		stream.onClose(() => {
			seen = manager.stats()
			stream.listen('b')
			stream.close()
		})
		stream.close()
		expect(seen).toMatchObject({ connections: 0, listeners: 0, channels: 0 })
		expect(isEmpty(manager)).toBe(true)
	})

	it('runs for each of several streams that a message to all of them finds gone', async () => {
		const manager = new EvStreamManager()
		const endings = new Endings()
		const server = await serve((req, res) => {
			const stream = manager.createStream(req, res)
			stream.listen('a')
			stream.onClose((channels, reason) => {
				endings.push({ channels, reason })
				// A clean-up that sends again.
				manager.send('a', { data: 'somebody left' })
			})
		})
		const clients = await Promise.all(Array.from({ length: 5 }, () => visit(server)))
		await until(() => manager.stats().connections === 5)
		for (const client of clients.slice(1)) client.close()
		manager.send('a', { data: 'hello' })
		await until(() => endings.size === 4)
		await until(() => clients[0]?.events.length === 5)
		expect(manager.stats().listeners).toBe(1)
	})

	it('runs also when a body parser has read the request before', async () => {
		const manager = new EvStreamManager()
		const endings = new Endings()
		const server = await serve(async (req, res) => {
			let body = ''
			for await (const chunk of req) body += chunk
			const stream = manager.createStream(req, res)
			stream.listen(body)
			stream.onClose(endings.callback)
		})
		const client = await dial(server, 'POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 4', '', 'news')
		await client.has('200 OK')
		client.socket.destroy()
		expect(await endings.next()).toEqual({ channels: ['news'], reason: 'disconnected' })
		expect(isEmpty(manager)).toBe(true)
	})

	it('takes only functions', async () => {
		const { stream } = await open()
		expect(thrownBy(() => stream.onClose(5 as never))).toBeInstanceOf(TypeError)
		expect(thrownBy(() => stream.close({} as never))).toBeInstanceOf(TypeError)
	})
})

describe('callbacks of one stream', () => {
	it('run in the order in which they were given', () => {
		const manager = new EvStreamManager()
		const { stream } = manager.createResponse(new Request('http://a/'))
		const order: number[] = []
		for (let n = 0; n < 3; n++) stream.onClose(() => void order.push(n))
		stream.close()
		expect(order).toEqual([0, 1, 2])
	})
})

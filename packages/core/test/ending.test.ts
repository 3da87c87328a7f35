import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AwaitableQueue, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { type EvCloseReason, type EvManagedStream, EvStreamManager } from '../src/index.js'
import { openRaw } from './support/raw-client.js'
import { connect, serve, serveManager } from './support/serve.js'

type End = [channels: string[], reason: EvCloseReason]

/** Records each call of an `onClose`. */
function ends(stream: EvManagedStream): End[] {
	const calls: End[] = []
	stream.onClose((channels, reason) => void calls.push([channels, reason]))
	return calls
}

/** Nothing of any stream is left, and nothing more is told about the one that ended. */
async function expectEnd(
	manager: EvStreamManager,
	stream: EvManagedStream,
	calls: End[],
	end: End,
): Promise<void> {
	await until(() => calls.length > 0, { what: 'the end of the stream' })
	// More calls, if there were any, would come with the response's own end.
	await manager.close()
	expect(calls).toEqual([end])
	expect(manager.stats()).toMatchObject({ connections: 0, channels: 0, listeners: 0, bufferedBytes: 0 })
	expect(stream.closed).toBe(true)
	expect(stream.signal.aborted).toBe(true)
	expect(stream.message({ data: 'late' })).toBe(false)
	stream.listen('late')
	expect(manager.stats().listeners).toBe(0)
}

interface Way {
	title: string
	reason: EvCloseReason
	end(at: { stream: EvManagedStream; req: IncomingMessage; res: ServerResponse; raw: RawSocket }): void
}
type RawSocket = Awaited<ReturnType<typeof openRaw>>['socket']

const ways: Way[] = [
	{ title: 'the client leaves', reason: 'disconnected', end: ({ raw }) => raw.destroy() },
	{
		title: 'the client resets the connection',
		reason: 'disconnected',
		end: ({ raw }) => raw.resetAndDestroy(),
	},
	{ title: 'the client closes its half', reason: 'disconnected', end: ({ raw }) => raw.end() },
	{ title: 'the app calls close()', reason: 'closed', end: ({ stream }) => stream.close() },
	{ title: 'the app ends the response', reason: 'disconnected', end: ({ res }) => res.end() },
	{ title: 'the app destroys the response', reason: 'disconnected', end: ({ res }) => res.destroy() },
	{ title: 'the app destroys the request', reason: 'disconnected', end: ({ req }) => req.destroy() },
	{
		title: 'the socket fails',
		reason: 'disconnected',
		end: ({ req }) => req.socket.destroy(new Error('down')),
	},
]

describe('a stream ends once', () => {
	it.each(ways)('when $title', async ({ reason, end }) => {
		const { server, exchanges, manager } = await serveManager({}, (stream) => {
			stream.listen('a')
			stream.listen('b')
		})
		const raw = await openRaw(server.port)
		const { stream, req, res } = await exchanges.next()
		const calls = ends(stream)
		await raw.has('200 OK')
		end({ stream, req, res, raw: raw.socket })
		await expectEnd(manager, stream, calls, [['a', 'b'], reason])
	})

	it.each(ways)('when $title during a write', async ({ reason, end }) => {
		const { server, exchanges, manager } = await serveManager({}, (stream) => stream.listen('a'))
		const raw = await openRaw(server.port)
		const { stream, req, res } = await exchanges.next()
		const calls = ends(stream)
		await raw.has('200 OK')
		raw.socket.pause()
		const data = 'x'.repeat(10_000)
		for (let n = 0; n < 50; n++) {
			if (n === 25) end({ stream, req, res, raw: raw.socket })
			manager.send('a', { data })
			stream.message({ data })
		}
		expect(() => manager.send('a', { data })).not.toThrow()
		await expectEnd(manager, stream, calls, [['a'], reason])
	})

	it('when the server closes all connections', async () => {
		const { server, connect, manager } = await serveManager({}, (stream) => stream.listen('a'))
		const { stream } = await connect()
		const calls = ends(stream)
		await server.close()
		await expectEnd(manager, stream, calls, [['a'], 'disconnected'])
	})

	it('when the manager is closed', async () => {
		const { connect, manager } = await serveManager({}, (stream) => stream.listen('a'))
		const { stream, client } = await connect()
		const calls = ends(stream)
		await manager.close()
		await client.closed
		await expectEnd(manager, stream, calls, [['a'], 'shutdown'])
	})

	it('when close() is called twice, and the client leaves after it', async () => {
		const { server, exchanges, manager } = await serveManager({}, (stream) => stream.listen('a'))
		const raw = await openRaw(server.port)
		const { stream } = await exchanges.next()
		const calls = ends(stream)
		stream.close()
		stream.close()
		await raw.has('0\r\n\r\n')
		raw.socket.destroy()
		await expectEnd(manager, stream, calls, [['a'], 'closed'])
		expect(raw.body).toBe('event:end\ndata:\n\n')
	})
})

describe('a client that left before the handler ran', () => {
	/** A handler that creates its stream only when the client has left. */
	async function late(create: (manager: EvStreamManager, req: IncomingMessage, res: ServerResponse) => void) {
		const manager = new EvStreamManager()
		const arrived = new AwaitableQueue<void>()
		const done = new AwaitableQueue<void>()
		const server = await serve(async (req, res) => {
			arrived.push()
			await once(res, 'close')
			create(manager, req, res)
			done.push()
		})
		const raw = await openRaw(server.port)
		await arrived.next()
		raw.socket.destroy()
		await done.next()
		return manager
	}

	it('gets a stream that is closed, listens to nothing and calls back', async () => {
		const calls: End[] = []
		const manager = await late((manager, req, res) => {
			const stream = manager.createStream(req, res)
			expect(stream.closed).toBe(true)
			stream.listen('a')
			expect(stream.message({ data: '' })).toBe(false)
			stream.onClose((channels, reason) => void calls.push([channels, reason]))
		})
		await until(() => calls.length > 0)
		expect(calls).toEqual([[[], 'disconnected']])
		expect(manager.stats()).toMatchObject({ connections: 0, listeners: 0, channels: 0 })
		await manager.close()
	})

	it.each([
		['rejected', false],
		['let in', true],
	])('is not held when authentication would have it %s', async (_, verdict) => {
		const answers = new AwaitableQueue<boolean | undefined>()
		const manager = await late(async (manager, req, res) => {
			const authentication = { method: 'custom', verify: () => verdict } as const
			answers.push(await manager.createStream(req, res, { authentication }).authenticate())
		})
		expect(await answers.next()).toBe(false)
		expect(manager.stats().connections).toBe(0)
		await manager.close()
	})

	it('is not held when the app never authenticates it', async () => {
		const manager = await late((manager, req, res) => {
			manager.createStream(req, res, { authentication: { method: 'custom', verify: () => true } })
		})
		expect(manager.stats().connections).toBe(0)
		await manager.close()
	})

	it('is not held when the app had answered', async () => {
		const manager = new EvStreamManager()
		const server = await serve((req, res) => {
			res.end('answered')
			expect(manager.createStream(req, res).closed).toBe(true)
		})
		const client = await connect(server.url)
		await client.closed
		expect(client.raw).toBe('answered')
		expect(manager.stats().connections).toBe(0)
		await manager.close()
	})
})

describe('a callback that is told of the end', () => {
	it('may send to the channels the stream has left', async () => {
		const { connect, manager } = await serveManager({}, (stream) => stream.listen('a'))
		const leaving = await connect()
		const staying = await connect()
		leaving.stream.onClose(() => void manager.send('a', { event: 'left', data: '' }))
		leaving.client.close()
		await staying.client.next('left')
		expect(manager.stats()).toMatchObject({ connections: 1, listeners: 1 })
	})
})

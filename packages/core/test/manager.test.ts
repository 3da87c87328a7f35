import { openSse, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
	EvClosedError,
	EvInvalidMessageError,
	type EvManagerOptions,
	EvMaxConnectionsError,
	EvMaxListenerError,
	type EvOptions,
	EvStreamManager,
} from '../src/index.js'
import { connectionSettings } from '../src/options.js'
import { FakeAdapter } from './support/streams-log.js'
import { messagesOf } from './support/streams-model.js'
import { serve } from './support/streams-server.js'
import { nextTurn } from './support/streams-slow.js'

/** Options as JavaScript could pass them. */
const untyped = (options: unknown): EvManagerOptions & EvOptions => options as EvManagerOptions & EvOptions

describe('the functions of a stream', () => {
	it('work when taken off the object, and are the same on each access', async () => {
		const { url, manager, streams } = await serve()
		const client = await openSse(url)
		const { stream } = await streams.next()
		const { authenticate, message, listen, unlisten, drain, from, close, onClose } = stream
		expect(await authenticate()).toBeUndefined()
		expect(message({ data: 'direct' })).toBe(true)
		listen('a')
		await manager.send('a', { data: 'heard' })
		unlisten('a')
		await manager.send('a', { data: 'not heard' })
		expect(await from(['token'])).toBe(true)
		await drain()
		const told: unknown[] = []
		onClose((...args) => void told.push(args))
		close()
		await client.closed
		expect(messagesOf(client)).toEqual(['direct', 'heard', 'token'])
		expect(told).toEqual([[[], 'closed']])
		expect(stream).toMatchObject({ authenticate, message, listen, unlisten, drain, from, close, onClose })
	})
})

describe('limits', () => {
	it('refuse a stream before anything is written, so that the app can answer 503', async () => {
		const { url, manager } = await serve(
			{ maxConnection: 1 },
			{
				before: (req, res) => {
					if (manager.stats().connections === 0) return true
					expect(() => manager.createStream(req, res)).toThrow(EvMaxConnectionsError)
					expect(res.headersSent).toBe(false)
					res.writeHead(503).end('full')
					return false
				},
			},
		)
		const first = await openSse(url)
		const second = await openSse(url)
		expect(second.status).toBe(503)
		await second.closed
		expect(second.raw).toBe('full')
		first.close()
		await until(() => manager.stats().connections === 0)
		expect((await openSse(url)).status).toBe(200)
	})

	it('refuse a listener with the channel and its size, and leave nothing behind', async () => {
		const { url, manager, streams } = await serve({ maxListeners: 1 })
		await openSse(`${url}/?channel=a`)
		await streams.next()
		const second = await openSse(url)
		const { stream } = await streams.next()
		expect(() => stream.listen('a')).toThrow(EvMaxListenerError)
		expect(() => stream.listen('a')).toThrow(expect.objectContaining({ listeners: 1, channel: 'a' }))
		stream.listen('b')
		manager.send('a', { data: 'a' })
		manager.send('b', { data: 'b' })
		await second.next(({ data }) => data === 'b')
		expect(messagesOf(second)).toEqual(['b'])
		expect(manager.stats()).toMatchObject({ channels: 2, listeners: 2 })
	})
})

describe('channels', () => {
	it('are listened to once however often, and left once', async () => {
		const { url, manager, streams } = await serve()
		const client = await openSse(`${url}/?channel=a&channel=a`)
		const { stream } = await streams.next()
		stream.listen('a')
		await manager.send('a', { data: '1' })
		expect(manager.stats()).toMatchObject({ channels: 1, listeners: 1, sent: 1 })
		stream.unlisten('a')
		stream.unlisten('a')
		stream.unlisten('never')
		await manager.send('a', { data: '2' })
		stream.message({ data: 'end' })
		await client.next(({ data }) => data === 'end')
		expect(messagesOf(client)).toEqual(['1', 'end'])
		expect(manager.stats()).toMatchObject({ channels: 0, listeners: 0, sent: 2, deliveries: 1 })
	})

	it('give a stream that was closed nothing, and take it as no listener', async () => {
		const { url, manager, streams } = await serve()
		const client = await openSse(url)
		const { stream } = await streams.next()
		client.close()
		await until(() => stream.closed)
		stream.listen('a')
		expect(manager.stats()).toMatchObject({ connections: 0, channels: 0, listeners: 0 })
	})

	it('leave out one stream with except, and those a filter does not let through', async () => {
		const { url, manager, streams, errors } = await serve()
		const clients = [await openSse(`${url}/?channel=a`), await openSse(`${url}/?channel=a`)]
		const { stream } = await streams.next()
		manager.send('a', { data: '1' })
		manager.send('a', { data: '2' }, { except: stream.id })
		manager.send('a', { data: '3' }, { filter: ({ id }) => id === stream.id })
		const filter = (): never => {
			throw new Error('broken')
		}
		manager.send('a', { data: '4' }, { filter })
		// Only exactly true lets a message through.
		manager.send('a', { data: '5' }, { filter: (() => 'yes') as unknown as () => boolean })
		manager.send('a', { data: '6' })
		for (const client of clients) await client.next(({ data }) => data === '6')
		expect(clients.map(messagesOf)).toEqual([
			['1', '3', '6'],
			['1', '2', '6'],
		])
		expect(errors.map(String)).toEqual(['Error: broken', 'Error: broken'])
	})

	it('refuse a filter with an adapter, at once', () => {
		const manager = new EvStreamManager({ adapter: new FakeAdapter() })
		onTestFinished(() => manager.close())
		expect(() => manager.send('a', { data: '' }, { filter: () => true })).toThrow(TypeError)
	})
})

describe('to', () => {
	it('reaches the one stream with that id, and says whether it is here', async () => {
		const { url, manager, streams } = await serve({ id: 'node' })
		const clients = [await openSse(url), await openSse(url)]
		const ids = [(await streams.next()).stream.id, (await streams.next()).stream.id]
		expect(ids[0]).toMatch(/^node-/)
		expect(await manager.to(ids[1] ?? '', { data: 'second' })).toBe(true)
		expect(await manager.to(`${ids[1]}0`, { data: 'nobody' })).toBe(false)
		// `parseInt` would read the number of the stream there.
		expect(await manager.to(`${ids[1]}!`, { data: 'nobody' })).toBe(false)
		expect(await manager.to('elsewhere', { data: 'nobody' })).toBe(false)
		await clients[1]?.next(({ data }) => data === 'second')
		expect(clients.map(({ events }) => events.length)).toEqual([0, 1])
	})
})

describe('a send that fails', () => {
	it('rejects and is reported, but is never an unhandled rejection', async () => {
		const unhandled: unknown[] = []
		const note = (reason: unknown): void => void unhandled.push(reason)
		process.on('unhandledRejection', note)
		onTestFinished(() => void process.off('unhandledRejection', note))
		const errors: unknown[] = []
		const manager = new EvStreamManager({ onError: (error) => errors.push(error) })
		manager.send('a', { data: () => {} })
		manager.to('nobody', { event: 'two\nlines', data: '' })
		await expect(manager.send('a', { data: 1n })).rejects.toThrow(EvInvalidMessageError)
		await manager.close()
		await expect(manager.send('a', { data: '' })).rejects.toThrow(EvClosedError)
		await nextTurn()
		await nextTurn()
		expect(errors).toHaveLength(4)
		expect(unhandled).toEqual([])
	})

	it('resolves with the message’s own id when there is no history', async () => {
		const manager = new EvStreamManager()
		expect(await manager.send('a', { id: '7', data: '' })).toBe('7')
		expect(await manager.send('a', { data: '' })).toBeUndefined()
	})
})

describe('wrong options', () => {
	it.each([
		[TypeError, { maxConnection: '5' }],
		[RangeError, { maxConnection: -1 }],
		[RangeError, { maxListeners: 1.5 }],
		[TypeError, { history: 100 }],
		[RangeError, { history: { size: 0 } }],
		[RangeError, { history: { size: 1, ttl: 0 } }],
		[RangeError, { history: { size: 1, channels: { a: { size: -1 } } } }],
		[RangeError, { history: { size: 1, maxBytes: 0 } }],
		[TypeError, { history: { size: 1, maxBytes: '1 MB' } }],
		[RangeError, { history: { size: 1, maxTotalBytes: 0.5 } }],
		[TypeError, { history: { size: 1, maxTotalBytes: null } }],
		[RangeError, { history: { size: 1, channels: { a: { size: 1, maxBytes: -1 } } } }],
		[TypeError, { adapter: {} }],
		[TypeError, { slow: 'ignore' }],
		[TypeError, { onError: 'log' }],
		[RangeError, { keepAlive: Number.NaN }],
		[RangeError, { heartbeat: 0 }],
		[TypeError, { stallTimeout: '30s' }],
		[TypeError, { id: 7 }],
		[TypeError, null],
	])('throw a %o at once: %j', (kind, options) => {
		expect(() => new EvStreamManager(untyped(options))).toThrow(kind)
	})

	it('of a stream or a listen throw before anything is written', async () => {
		const { url, manager, streams } = await serve()
		await openSse(url)
		const { stream, res } = await streams.next()
		const create = (options: unknown) => () => manager.createStream(res.req, res, untyped(options))
		expect(create({ maxAge: -1 })).toThrow(RangeError)
		expect(create({ authentication: { param: 'token' } })).toThrow(TypeError)
		expect(() => stream.listen('a', { last: 1 })).toThrow(TypeError)
		expect(() => stream.listen('a', { last: -1 })).toThrow(RangeError)
		expect(() => stream.listen(untyped(7) as unknown as string)).toThrow(TypeError)
		expect(() => manager.send(untyped(7) as unknown as string, { data: '' })).toThrow(TypeError)
		expect(() => manager.close({ drainMs: -1 })).toThrow(RangeError)
		expect(manager.stats()).toMatchObject({ connections: 1, channels: 0, sent: 0 })
	})
})

describe('provide', () => {
	it('greets each listener with the snapshot, and broadcasts without an id', async () => {
		const { url, manager } = await serve({ history: { size: 10 } })
		let value = 1
		const source = manager.provide('s', { snapshot: () => ({ data: `${value}` }) })
		const first = await openSse(`${url}/?channel=s`)
		await first.next('position')
		value = 2
		source.broadcast({ data: '2' })
		const second = await openSse(`${url}/?channel=s`)
		await second.next('position')
		await first.next(({ data }) => data === '2')
		expect(messagesOf(first)).toEqual(['1', '2'])
		expect(messagesOf(second)).toEqual(['2'])
		expect(first.events.filter(({ event }) => event === 'message').every(({ id }) => id === undefined)).toBe(
			true,
		)
		expect(first.events[0]?.data).toBe('1')
	})

	it('takes one provider at a time, and another one after close', () => {
		const manager = new EvStreamManager()
		const source = manager.provide('s', {})
		expect(() => manager.provide('s', {})).toThrow(/provider already/)
		source.close()
		source.close()
		const second = manager.provide('s', {})
		source.close()
		expect(() => manager.provide('s', {})).toThrow(/provider already/)
		second.close()
	})
})

describe('an option of one stream', () => {
	it.each([
		['heartbeat', 0],
		['keepAlive', 0],
		['maxBuffer', -1],
		['stallTimeout', 0],
		['slow', 'never'],
		['onError', 'none'],
	])('counts also if it is the only one: %s', (name, wrong) => {
		const manager = new EvStreamManager()
		expect(() => manager.createResponse(new Request('http://a/'), { [name]: wrong })).toThrow(name)
		expect(manager.stats().connections).toBe(0)
	})
})

describe('many messages of one tick', () => {
	it('are written before it ends as soon as they are more than 64 KiB', async () => {
		const manager = new EvStreamManager()
		const { stream } = manager.createResponse(new Request('http://a/'))
		stream.listen('a')
		for (let n = 0; n < 10; n++) void manager.send('a', { data: 'x'.repeat(10_000) })
		expect(manager.stats().deliveries).toBe(6)
		await Promise.resolve()
		await new Promise((resolve) => setImmediate(resolve))
		expect(manager.stats().deliveries).toBe(10)
	})
})

describe('the options of a manager', () => {
	it('hold for a stream that has none of its own, and one by one for a stream that has another', () => {
		const defaults = connectionSettings({
			heartbeat: 1_000,
			keepAlive: false,
			maxBuffer: 2_000,
			stallTimeout: 3_000,
			slow: 'drop',
			onError: () => {},
		})
		expect(connectionSettings({}, defaults)).toEqual(defaults)
		expect(connectionSettings({ keepAlive: 4_000 }, defaults)).toEqual({ ...defaults, keepAlive: 4_000 })
	})
})

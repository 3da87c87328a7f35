import { AwaitableQueue, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { type EvOptions, Evstream } from '../src/index.js'
import { serve, thrownBy, visit } from './support/visit.js'

async function open(options?: EvOptions, headers: Record<string, string> = {}, path = '/') {
	const streams = new AwaitableQueue<Evstream>()
	const server = await serve((req, res) => streams.push(new Evstream(req, res, options)))
	const client = await visit(server, { headers }, path)
	return { client, stream: await streams.next() }
}

describe('a stream', () => {
	it('is, byte by byte, what the documentation shows', async () => {
		const { client, stream } = await open({ heartbeat: 50 })
		stream.message({ event: 'connected', data: { userId: 'a-user-id' } })
		await client.next('heartbeat')
		stream.close()
		await client.closed
		const lines = ['event:connected', 'data:{"userId":"a-user-id"}', '']
		expect(client.raw).toMatch(
			/^event:connected\ndata:{"userId":"a-user-id"}\n\n(event:heartbeat\ndata:\n\n)+event:end\ndata:\n\n$/,
		)
		expect(client.raw.startsWith(`${lines.join('\n')}\n`)).toBe(true)
	})

	it('sends a heartbeat again and again while nothing else is sent', async () => {
		const { client } = await open({ heartbeat: 10 })
		for (let n = 0; n < 3; n++) expect(await client.next()).toMatchObject({ event: 'heartbeat', data: '' })
	})

	it('sends comments, which nobody sees, on a silent connection', async () => {
		const { client } = await open({ keepAlive: 10 })
		await until(() => client.comments.length >= 3)
		expect(client.events).toEqual([])
		expect(client.raw).toMatch(/^(:\n\n)+$/)
	})

	it('sends neither when the comments are turned off', async () => {
		const { client, stream } = await open({ keepAlive: false })
		const { client: other } = await open({ keepAlive: 10 })
		await until(() => other.comments.length >= 5)
		stream.close()
		await client.closed
		expect(client.raw).toBe('event:end\ndata:\n\n')
	})

	it('aborts its signal when it ends, and gives an aborted one afterwards', async () => {
		const { client, stream } = await open()
		const { signal } = stream
		expect(stream.signal).toBe(signal)
		expect(signal.aborted).toBe(false)
		const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve))
		client.close()
		await aborted
		const { stream: late } = await open()
		late.close()
		expect(late.signal.aborted).toBe(true)
	})

	it('ends after 80 to 100 % of maxAge, without the event that says it is over', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
		onTestFinished(() => void vi.useRealTimers())
		const random = vi.spyOn(Math, 'random')
		onTestFinished(() => random.mockRestore())
		for (const [share, age] of [
			[0, 8_000],
			[0.5, 9_000],
			[0.999999, 10_000],
		] as const) {
			random.mockReturnValue(share)
			const { client, stream } = await open({ maxAge: 10_000 })
			const reasons: string[] = []
			stream.onClose((_channels, why) => void reasons.push(why))
			await vi.advanceTimersByTimeAsync(age - 10)
			expect(reasons).toEqual([])
			await vi.advanceTimersByTimeAsync(12)
			expect(reasons).toEqual(['max-age'])
			await client.closed
			expect(client.raw).toBe('')
		}
	})
})

describe('drain', () => {
	it('waits for a client that is behind, and not for one that keeps up', async () => {
		const { client, stream } = await open({ maxBuffer: 100_000_000 })
		await stream.drain()
		client.pause()
		let sent = 0
		const data = 'x'.repeat(100_000)
		do sent++
		while (stream.message({ data }))
		let drained = false
		const draining = stream.drain().then(() => {
			drained = true
		})
		expect(stream.message({ data: 'one more' })).toBe(false)
		expect(drained).toBe(false)
		client.resume()
		await draining
		expect(stream.message({ data: 'last' })).toBe(true)
		await client.next(({ data: got }) => got === 'last')
		expect(client.events).toHaveLength(sent + 2)
	})

	it('is over when the client leaves or the app closes the stream', async () => {
		for (const end of ['client', 'app']) {
			const { client, stream } = await open({ maxBuffer: 100_000_000 })
			client.pause()
			while (stream.message({ data: 'x'.repeat(100_000) }));
			const draining = stream.drain()
			if (end === 'client') client.close()
			else stream.close()
			await draining
		}
	})
})

describe('lastEventId', () => {
	const utf8 = (text: string) => Buffer.from(text, 'utf8').toString('latin1')

	it.each([
		['neither', {}, '/', undefined],
		['the header', { 'Last-Event-ID': '7' }, '/', '7'],
		['the header, which is UTF-8', { 'Last-Event-ID': utf8('über-…') }, '/', 'über-…'],
		['the query', {}, '/?a=1&lastEventId=%C3%BC+7', 'ü 7'],
		['the header before the query', { 'Last-Event-ID': '7' }, '/?lastEventId=6', '7'],
		['an empty header, which is none', { 'Last-Event-ID': '' }, '/?lastEventId=6', '6'],
		['an empty query', {}, '/?lastEventId=', undefined],
	])('comes from %s', async (_what, headers: Record<string, string>, path, id) => {
		const { stream } = await open({}, headers, path)
		expect(stream.lastEventId).toBe(id)
	})
})

describe('a wrong option', () => {
	const verify = () => true
	it.each([
		[TypeError, null],
		[TypeError, 'heartbeat'],
		[TypeError, { heartbeat: '5000' }],
		[RangeError, { heartbeat: 0 }],
		[RangeError, { heartbeat: -1 }],
		[RangeError, { heartbeat: Number.NaN }],
		[RangeError, { heartbeat: Number.POSITIVE_INFINITY }],
		[TypeError, { keepAlive: true }],
		[RangeError, { keepAlive: 0 }],
		[TypeError, { maxBuffer: '1' }],
		[RangeError, { maxBuffer: -1 }],
		[RangeError, { maxBuffer: 1.5 }],
		[RangeError, { stallTimeout: 0 }],
		[TypeError, { slow: 'wait' }],
		[TypeError, { onError: 'log' }],
		[TypeError, { maxAge: '1h' }],
		[RangeError, { maxAge: 0 }],
		[TypeError, { authentication: null }],
		[TypeError, { authentication: true }],
		[TypeError, { authentication: { method: 'query', param: 'token' } }],
		[TypeError, { authentication: { method: 'query', verify } }],
		[TypeError, { authentication: { method: 'cookie', verify } }],
		[TypeError, { authentication: { method: 'header', param: 5, verify } }],
		[TypeError, { authentication: { method: 'body', param: 'token', verify } }],
		[RangeError, { authentication: { method: 'custom', verify, revalidate: 0 } }],
	])('is a %o at once, with nothing written: %j', async (kind, options) => {
		const errors: unknown[] = []
		const server = await serve((req, res) => {
			errors.push(thrownBy(() => new Evstream(req, res, options as never)))
			res.statusCode = res.headersSent ? 200 : 500
			res.end('mine')
		})
		const client = await visit(server)
		await client.closed
		expect(errors[0]).toBeInstanceOf(kind)
		expect(client.status).toBe(500)
		expect(client.raw).toBe('mine')
	})
})

import { connect as connectHttp2 } from 'node:http2'
import { AwaitableQueue, openSse, until } from '@evstream/testkit'
import compression from 'compression'
import type { Request as ExpressRequest, Response as ExpressResponse } from 'express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EvStreamManager } from '../src/index.js'
import { serve } from './support/streams-server.js'
import { LARGE, nextTurn, reasonOf } from './support/streams-slow.js'

const maxBuffer = 256 * 1_024

/** Asks for the path over HTTP/2 and counts the bytes that come. */
function openHttp2(url: string): {
	pause(): void
	resume(): void
	readonly text: string
	readonly over: boolean
} {
	const session = connectHttp2(url)
	onTestFinished(() => void session.destroy())
	session.on('error', () => {})
	const request = session.request({ ':path': '/?channel=a' })
	let text = ''
	request.on('error', () => {})
	request.setEncoding('latin1').on('data', (part: string) => {
		text += part
	})
	return {
		pause: () => void request.pause(),
		resume: () => void request.resume(),
		get text() {
			return text
		},
		get over() {
			return request.destroyed
		},
	}
}

describe('an HTTP/2 client that does not read', () => {
	it('is cut once maxBuffer is used up, and one that reads on the same server is not', async () => {
		const { url, manager, streams } = await serve({ maxBuffer }, { http2: true })
		const slow = openHttp2(url)
		const { stream } = await streams.next()
		slow.pause()
		const reason = reasonOf(stream)
		const fast = openHttp2(url)
		await streams.next()
		let most = 0
		let sent = 0
		for (; !stream.closed && sent < 200; sent++) {
			manager.send('a', { data: LARGE })
			// The one that reads takes each before the next one comes.
			await until(() => fast.text.length >= (sent + 1) * LARGE.length)
			most = Math.max(most, manager.stats().bufferedBytes)
		}
		expect(await reason).toBe('slow')
		expect(most).toBeGreaterThan(0)
		expect(most).toBeLessThanOrEqual(maxBuffer + LARGE.length + 100)
		expect(fast.over).toBe(false)
		slow.resume()
		await until(() => slow.over)
	})

	it('is waited for by drain', async () => {
		const { url, streams } = await serve({}, { http2: true })
		const client = openHttp2(url)
		const { stream } = await streams.next()
		client.pause()
		let sent = 1
		while (stream.message({ data: LARGE })) {
			sent++
			await nextTurn()
		}
		client.resume()
		await stream.drain()
		await until(() => client.text.length >= sent * LARGE.length)
		expect(stream.closed).toBe(false)
	})
})

describe('a web response that nobody reads', () => {
	it('is cut once maxBuffer is used up', async () => {
		const manager = new EvStreamManager({ maxBuffer })
		onTestFinished(() => manager.close())
		const { stream, response } = manager.createResponse(new Request('http://localhost/'))
		const reason = reasonOf(stream)
		stream.listen('a')
		let most = 0
		for (let sent = 0; !stream.closed && sent < 100; sent++) {
			manager.send('a', { data: LARGE })
			// Each in turns of its own, in which it could have been taken.
			for (let turn = 0; turn < 4; turn++) await nextTurn()
			most = Math.max(most, manager.stats().bufferedBytes)
		}
		expect(await reason).toBe('slow')
		expect(most).toBeLessThanOrEqual(maxBuffer)
		await expect(response.text()).rejects.toThrow('The stream was cut off.')
	})

	it('is cut as stalled below it, and message says false before', async () => {
		const manager = new EvStreamManager({ stallTimeout: 100 })
		onTestFinished(() => manager.close())
		const { stream } = manager.createResponse(new Request('http://localhost/'))
		const reason = reasonOf(stream)
		expect(stream.message({ data: 'one' })).toBe(true)
		expect(stream.message({ data: LARGE })).toBe(false)
		expect(await reason).toBe('stalled')
	})
})

describe('A client that reads', () => {
	const total = 60
	const burst = (manager: EvStreamManager): void => {
		for (let n = 0; n < total; n++) manager.send('a', { data: `${n} ${LARGE}` })
	}

	it('may be sent a burst of many times maxBuffer in one tick when res.write was replaced', async () => {
		const { url, manager } = await serve(
			{ maxBuffer },
			{
				before: (_req, res) => {
					const write = res.write.bind(res)
					res.write = (chunk: unknown) => write(chunk)
				},
			},
		)
		const client = await openSse(`${url}/?channel=a`)
		burst(manager)
		await client.next(({ data }) => data.startsWith(`${total - 1} `))
	})

	it('may be sent a burst of many times maxBuffer in one tick behind a compressor', async () => {
		const compress = compression()
		const { url, manager } = await serve(
			{ maxBuffer },
			{
				before: (req, res) => {
					res.setHeader('Cache-Control', 'no-cache')
					compress(req as ExpressRequest, res as ExpressResponse, () => {})
				},
			},
		)
		const client = await openSse(`${url}/?channel=a`, { headers: { 'accept-encoding': 'identity' } })
		burst(manager)
		await client.next(({ data }) => data.startsWith(`${total - 1} `))
	})

	it('may be sent a burst of many times maxBuffer in one tick on HTTP/2', async () => {
		const { url, manager, streams } = await serve({ maxBuffer }, { http2: true })
		const client = openHttp2(url)
		const { stream } = await streams.next()
		burst(manager)
		await until(() => stream.closed || client.text.includes(`data:${total - 1} `))
		expect(stream.closed).toBe(false)
	})

	it('may be sent a burst of many times maxBuffer in one tick on a web response', async () => {
		const manager = new EvStreamManager({ maxBuffer })
		onTestFinished(() => manager.close())
		const { stream, response } = manager.createResponse(new Request('http://localhost/'))
		stream.listen('a')
		const parts = new AwaitableQueue<string>()
		void response.body
			?.pipeThrough(new TextDecoderStream())
			.pipeTo(new WritableStream({ write: parts.push }))
			.catch(() => {})
		burst(manager)
		let text = ''
		while (!stream.closed && !text.includes(`data:${total - 1} `)) text += await parts.next()
		expect(stream.closed).toBe(false)
	})
})

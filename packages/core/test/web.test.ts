import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type EvManagerOptions, EvStreamManager } from '../src/index.js'
import { eventsOf } from './support/streams-raw.js'
import { LARGE, nextTurn, reasonOf } from './support/streams-slow.js'

const URL = 'http://localhost/events'

setFlagsFromString('--expose-gc')
const gc: unknown = runInNewContext('gc')

function collectGarbage(): void {
	if (typeof gc === 'function') gc()
}

function managed(options: EvManagerOptions = {}): { manager: EvStreamManager; errors: unknown[] } {
	const errors: unknown[] = []
	const manager = new EvStreamManager({ onError: (error) => errors.push(error), ...options })
	onTestFinished(() => manager.close())
	return { manager, errors }
}

/** Reads the body as it comes. */
function follow(response: Response): {
	readonly text: string
	readonly over: boolean
	cancel(): Promise<void>
} {
	const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
	let text = ''
	let over = false
	const read = async (): Promise<void> => {
		for (;;) {
			const part = await reader?.read()
			if (part === undefined || part.done) break
			text += part.value
		}
	}
	read()
		.catch(() => {})
		.finally(() => {
			over = true
		})
	return {
		get text() {
			return text
		},
		get over() {
			return over
		},
		cancel: async () => reader?.cancel(),
	}
}

describe('createResponse', () => {
	it('gives a response that streams direct and channel messages in order, until close', async () => {
		const { manager } = managed()
		const { stream, response } = manager.createResponse(new Request(URL))
		expect(response.status).toBe(200)
		expect(Object.fromEntries(response.headers)).toEqual({
			'content-type': 'text/event-stream; charset=utf-8',
			'cache-control': 'no-cache, no-transform',
			'x-accel-buffering': 'no',
		})
		stream.listen('a')
		manager.send('a', { data: '1' })
		stream.message({ data: '2' })
		const client = follow(response)
		await until(() => client.text.includes('data:2'))
		manager.send('a', { data: '3' })
		await until(() => client.text.includes('data:3'))
		stream.close()
		await until(() => client.over)
		expect(eventsOf(client.text)).toEqual(['message:1', 'message:2', 'message:3', 'end:'])
		expect(manager.stats()).toMatchObject({ connections: 0, channels: 0, bufferedBytes: 0 })
	})

	it('resumes by the header and by the query', async () => {
		const { manager } = managed({ history: { size: 10 } })
		const first = await manager.send('a', { data: '1' })
		await manager.send('a', { data: '2' })
		const requests = [
			new Request(URL, { headers: { 'last-event-id': first ?? '' } }),
			new Request(`${URL}?lastEventId=${first}`),
		]
		for (const request of requests) {
			const { stream, response } = manager.createResponse(request)
			expect(stream.lastEventId).toBe(first)
			stream.listen('a')
			const client = follow(response)
			await until(() => client.text.includes('event:position'))
			expect(eventsOf(client.text)).toEqual(['message:2', 'position:'])
		}
	})

	it('gives a head without a body for HEAD', async () => {
		const { manager } = managed()
		const { stream, response } = manager.createResponse(new Request(URL, { method: 'HEAD' }))
		expect(stream.closed).toBe(true)
		expect(stream.message({ data: 'never' })).toBe(false)
		stream.listen('a')
		expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
		expect(await response.text()).toBe('')
		expect(manager.stats()).toMatchObject({ connections: 0, channels: 0 })
	})
})

describe('a web client that leaves', () => {
	it('by cancelling the body ends the stream once, and nothing throws after it', async () => {
		const { manager, errors } = managed()
		const { stream, response } = manager.createResponse(new Request(URL))
		const reasons: string[] = []
		stream.onClose((channels, reason) => void reasons.push(`${channels} ${reason}`))
		stream.listen('a')
		const client = follow(response)
		stream.message({ data: '1' })
		await until(() => client.text.includes('data:1'))
		const { signal } = stream
		await client.cancel()
		expect(stream.closed).toBe(true)
		expect(signal.aborted).toBe(true)
		expect(stream.message({ data: '2' })).toBe(false)
		await manager.send('a', { data: '3' })
		await stream.drain()
		stream.listen('b')
		expect(await stream.from(['4'])).toBe(false)
		stream.close()
		expect(reasons).toEqual(['a disconnected'])
		expect(errors).toEqual([])
		expect(manager.stats()).toMatchObject({ connections: 0, channels: 0, listeners: 0, bufferedBytes: 0 })
	})

	it('takes with it what waited, although the app keeps the stream', async () => {
		const { manager } = managed({ maxBuffer: 1e9 })
		const { stream, response } = manager.createResponse(new Request(URL))
		collectGarbage()
		const before = process.memoryUsage().arrayBuffers
		for (let n = 0; n < 10; n++) stream.message({ data: 'x'.repeat(5_000_000) })
		expect(process.memoryUsage().arrayBuffers).toBeGreaterThan(before + 40_000_000)
		await response.body?.cancel()
		await until(() => {
			collectGarbage()
			return process.memoryUsage().arrayBuffers < before + 10_000_000
		})
		expect(stream.closed).toBe(true)
	})

	it('by aborting the request ends the stream and the body', async () => {
		const { manager } = managed()
		const controller = new AbortController()
		const { stream, response } = manager.createResponse(new Request(URL, { signal: controller.signal }))
		const reason = reasonOf(stream)
		const client = follow(response)
		stream.message({ data: '1' })
		await until(() => client.text.includes('data:1'))
		controller.abort()
		expect(await reason).toBe('disconnected')
		await until(() => client.over)
		expect(stream.message({ data: '2' })).toBe(false)
	})

	it('before the stream began is never registered', async () => {
		const { manager } = managed()
		const controller = new AbortController()
		controller.abort()
		const { stream, response } = manager.createResponse(new Request(URL, { signal: controller.signal }))
		expect(stream.closed).toBe(true)
		expect(await reasonOf(stream)).toBe('disconnected')
		stream.listen('a')
		expect(manager.stats()).toMatchObject({ connections: 0, channels: 0 })
		expect(response).toBeInstanceOf(Response)
		expect(await response.text()).toBe('')
	})

	it('before the stream began is not let in by authenticate', async () => {
		const { manager } = managed()
		const controller = new AbortController()
		controller.abort()
		const { stream, response } = manager.createResponse(new Request(URL, { signal: controller.signal }), {
			authentication: { method: 'custom', verify: () => true },
		})
		expect(await stream.authenticate()).toBe(false)
		expect(stream.closed).toBe(true)
		expect((await response).body).toBeNull()
		expect(manager.stats().connections).toBe(0)
	})

	it('while it is being authenticated is not let in, and the handler still gets a response', async () => {
		const { manager } = managed()
		const controller = new AbortController()
		let decide = (_good: boolean): void => {}
		const { stream, response } = manager.createResponse(new Request(URL, { signal: controller.signal }), {
			authentication: {
				method: 'custom',
				verify: () =>
					new Promise((resolve) => {
						decide = resolve
					}),
			},
		})
		const answer = stream.authenticate()
		controller.abort()
		decide(true)
		expect(await answer).toBe(false)
		expect((await response).body).toBeNull()
		expect(manager.stats().connections).toBe(0)
	})
})

describe('authentication of a web request', () => {
	const authentication = { param: 'token', verify: (token: string) => token === 'good' }

	it('gives the response as a promise: 401 with one error event for a token that is not good', async () => {
		const { manager } = managed()
		const { stream, response } = manager.createResponse(new Request(`${URL}?token=bad`), { authentication })
		expect(await stream.authenticate()).toBe(false)
		const answer = await response
		expect(answer.status).toBe(401)
		expect(answer.headers.get('www-authenticate')).toBe('Bearer')
		const events = eventsOf(await answer.text())
		expect(events).toHaveLength(1)
		expect(events[0]).toMatch(/^error:/)
		expect(manager.stats().connections).toBe(0)
	})

	it('gives 200 and the stream for a good one', async () => {
		const { manager } = managed()
		const { stream, response } = manager.createResponse(new Request(`${URL}?token=good`), { authentication })
		expect(() => stream.listen('a')).toThrow(expect.objectContaining({ code: 'EV_NOT_AUTHENTICATED' }))
		expect(await stream.authenticate()).toBe(true)
		stream.message({ data: '1' })
		stream.close()
		const answer = await response
		expect(answer.status).toBe(200)
		expect(eventsOf(await answer.text())).toEqual(['message:1', 'end:'])
	})
})

describe('back-pressure of a web response', () => {
	it('is told by message, waited for by drain and obeyed by from', async () => {
		const { manager } = managed()
		const { stream, response } = manager.createResponse(new Request(URL))
		let made = 0
		function* items(): Generator<string> {
			while (made < 50) yield `${made++} ${LARGE}`
		}
		const written = stream.from(items())
		for (let turn = 0; turn < 20; turn++) await nextTurn()
		expect(made).toBe(1)
		expect(stream.message({ data: 'direct' })).toBe(false)
		const { bufferedBytes } = manager.stats()
		expect(bufferedBytes).toBe(`:\n\ndata:0 ${LARGE}\n\ndata:direct\n\n`.length)
		const client = follow(response)
		expect(await written).toBe(true)
		await stream.drain()
		await until(() => client.text.includes('data:49 '))
		await until(() => manager.stats().bufferedBytes === 0)
		expect(eventsOf(client.text)).toHaveLength(51)
	})
})

describe('a consumer that transfers its chunks to another thread', () => {
	it('takes nothing from the other clients of the same message', async () => {
		const { manager } = managed({ history: { size: 10 } })
		const readers = [1, 2, 3].map(() => {
			const { stream, response } = manager.createResponse(new Request(URL))
			stream.listen('a')
			return response.body?.getReader()
		})
		const small = 'small'
		const large = 'x'.repeat(40_000)
		manager.send('a', { data: small })
		await nextTurn()
		manager.send('a', { data: large })
		await nextTurn()
		const texts: string[] = []
		for (const reader of readers) {
			const decoder = new TextDecoder()
			let text = ''
			while (!text.endsWith(`data:${large}\n\n`)) {
				const { value } = (await reader?.read()) ?? {}
				if (value === undefined) break
				// As `postMessage` does with a list of what is given away.
				const given = structuredClone(value, { transfer: [value.buffer] })
				expect(value.byteLength).toBe(0)
				text += decoder.decode(given, { stream: true })
			}
			texts.push(text)
		}
		const events = texts.map((text) => eventsOf(text))
		const [first] = events
		expect(new Set(first)).toEqual(new Set(['position:', `message:${small}`, `message:${large}`]))
		expect(events).toEqual([first, first, first])
	})
})

import { once } from 'node:events'
import { AwaitableQueue, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { EvClosedError, type EvManagedStream, EvStreamManager } from '../src/index.js'
import { dial, type RawClient, serve, thrownBy, visit } from './support/visit.js'
import { Endings } from './support/watch.js'

/** A manager with so many clients, on connections that are kept alive. */
async function crowd(count: number, maxBuffer?: number) {
	const manager = new EvStreamManager({ maxBuffer })
	const endings = new Endings()
	const streams = new AwaitableQueue<EvManagedStream>()
	const server = await serve((req, res) => {
		const stream = manager.createStream(req, res)
		stream.listen('news')
		stream.onClose(endings.callback)
		streams.push(stream)
	})
	const clients: RawClient[] = []
	for (let n = 0; n < count; n++) clients.push(await dial(server, 'GET / HTTP/1.1', 'Host: localhost'))
	await until(() => streams.size === count)
	for (const client of clients) await client.has('200 OK')
	return { manager, endings, server, clients, streams: streams.drain() }
}

describe('closing a manager', () => {
	it('spreads the ends over the drain time, and tells each client its own time to come back', async () => {
		const { manager, streams, clients, endings } = await crowd(40)
		const start = performance.now()
		const times: number[] = []
		for (const stream of streams) stream.onClose(() => void times.push(performance.now() - start))
		await manager.close({ drainMs: 400 })
		expect(times).toHaveLength(40)
		expect(times.filter((time) => time < 200).length).toBeGreaterThan(5)
		expect(times.filter((time) => time > 200).length).toBeGreaterThan(5)
		expect(new Set(endings.drain().map(({ reason }) => reason))).toEqual(new Set(['shutdown']))
		const retries = clients.map(({ text }) => Number(/retry:(\d+)\n/.exec(text)?.[1]))
		for (const retry of retries) {
			expect(retry).toBeGreaterThanOrEqual(1_000)
			expect(retry).toBeLessThanOrEqual(2_000)
		}
		expect(new Set(retries).size).toBeGreaterThan(20)
	})

	it('tells times that are as far apart as the drain lasts, for a drain of more than a second', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
		onTestFinished(() => void vi.useRealTimers())
		const manager = new EvStreamManager()
		const texts = Array.from({ length: 100 }, () =>
			manager.createResponse(new Request('http://localhost/')).response.text(),
		)
		const closing = manager.close({ drainMs: 20_000 })
		for (let second = 0; second < 21; second++) {
			// Evenly: after each second a twentieth more.
			const { connections } = manager.stats()
			expect(connections).toBeGreaterThanOrEqual(100 - 5 * second - 1)
			expect(connections).toBeLessThanOrEqual(100 - 5 * second + 1)
			await vi.advanceTimersByTimeAsync(1_000)
			if (second === 19) break
		}
		await vi.advanceTimersByTimeAsync(100)
		await closing
		const retries = (await Promise.all(texts)).map((text) => Number(/retry:(\d+)\n/.exec(text)?.[1]))
		for (const retry of retries) {
			expect(retry).toBeGreaterThanOrEqual(1_000)
			expect(retry).toBeLessThanOrEqual(21_000)
		}
		expect(Math.max(...retries) - Math.min(...retries)).toBeGreaterThan(10_000)
		expect(vi.getTimerCount()).toBe(0)
	})

	it('ends two hundred at a time, and lets others have a turn in between', async () => {
		const manager = new EvStreamManager()
		const texts = Array.from({ length: 450 }, () =>
			manager.createResponse(new Request('http://localhost/')).response.text(),
		)
		const closing = manager.close()
		expect(manager.stats().connections).toBe(250)
		let turns = 0
		while (manager.stats().connections > 0) {
			turns++
			await new Promise((resolve) => setImmediate(resolve))
		}
		expect(turns).toBeGreaterThan(1)
		await closing
		for (const text of await Promise.all(texts)) expect(text).toMatch(/^:\n\nretry:\d+\n\n$/)
	})

	it('ends them in no order that a client could be unlucky in', async () => {
		const { manager, streams } = await crowd(40)
		const order: number[] = []
		for (const [index, stream] of streams.entries()) stream.onClose(() => void order.push(index))
		await manager.close()
		expect(order).not.toEqual(order.toSorted((a, b) => a - b))
		expect(order).not.toEqual(order.toSorted((a, b) => b - a))
		expect(order.toSorted((a, b) => a - b)).toEqual(streams.map((_, index) => index))
	})

	it('resolves when no response is left, so that server.close() returns', async () => {
		const { manager, server, clients } = await crowd(5)
		await manager.close()
		expect(manager.stats()).toMatchObject({ connections: 0, listeners: 0, channels: 0, bufferedBytes: 0 })
		const closed = once(server.server, 'close')
		server.server.close()
		await closed
		for (const { text } of clients) expect(text.endsWith('\r\n0\r\n\r\n')).toBe(true)
	})

	it('resolves at once when there is nobody', async () => {
		const manager = new EvStreamManager()
		await manager.close({ drainMs: 60_000 })
	})

	it('is over as soon as the clients are gone', async () => {
		const { manager, clients } = await crowd(3)
		const closing = manager.close({ drainMs: 60_000 })
		for (const { socket } of clients) socket.destroy()
		await until(() => manager.stats().connections === 0)
		await closing
	})

	it('cuts a client off that does not take its last bytes', async () => {
		const { manager, clients, streams } = await crowd(2, 100_000_000)
		const [slow] = clients
		slow?.socket.pause()
		for (const stream of streams) for (let n = 0; n < 400; n++) stream.message({ data: 'x'.repeat(50_000) })
		const start = performance.now()
		await manager.close({ drainMs: 20 })
		expect(performance.now() - start).toBeGreaterThan(900)
		slow?.socket.resume()
		await until(() => slow?.ended)
		expect(slow?.text.endsWith('\r\n0\r\n\r\n')).toBe(false)
		await until(() => clients[1]?.text.endsWith('\r\n0\r\n\r\n'))
	})

	it('is done once, whoever asks', async () => {
		const { manager, endings } = await crowd(3)
		const first = manager.close({ drainMs: 50 })
		expect(manager.close()).toBe(first)
		await first
		expect(manager.close({ drainMs: 60_000 })).toBe(first)
		expect(endings.size).toBe(3)
	})

	it('still delivers to those that are left', async () => {
		const { manager, clients, streams } = await crowd(10)
		const closing = manager.close({ drainMs: 300 })
		const left = streams.findLastIndex(({ closed }) => !closed)
		await manager.send('news', { data: 'late' })
		await clients[left]?.has('data:late\n\n')
		await closing
	})

	it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('refuses to take %d ms, and stays open', (drainMs) => {
		const manager = new EvStreamManager()
		expect(thrownBy(() => manager.close({ drainMs }))).toBeInstanceOf(RangeError)
		expect(thrownBy(() => manager.close({ drainMs: -1 }))).toBeInstanceOf(RangeError)
	})
})

describe('a manager that is closed', () => {
	it.each(['closing', 'closed'])('takes no stream while it is %s, and writes nothing', async (when) => {
		const manager = new EvStreamManager()
		const first = new AwaitableQueue<EvManagedStream>()
		const errors: unknown[] = []
		const server = await serve((req, res) => {
			const error = thrownBy(() => first.push(manager.createStream(req, res)))
			if (error === undefined) return
			errors.push(error)
			res.statusCode = res.headersSent ? 200 : 503
			res.end('come back later')
		})
		const holder = await visit(server)
		await first.next()
		const closing = manager.close({ drainMs: 60_000 })
		if (when === 'closed') {
			holder.close()
			await closing
		}
		const client = await visit(server)
		await client.closed
		expect(client.status).toBe(503)
		expect(client.raw).toBe('come back later')
		expect(errors).toEqual([expect.any(EvClosedError)])
		expect(errors[0]).toMatchObject({ code: 'EV_CLOSED' })
		holder.close()
		await closing
	})

	it('rejects what is sent, also to one stream, without an unhandled rejection', async () => {
		const errors: unknown[] = []
		const manager = new EvStreamManager({ onError: (error) => errors.push(error) })
		await manager.close()
		manager.send('news', { data: 'ignored' })
		await expect(manager.send('news', { data: '' })).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await expect(manager.to('nobody', { data: '' })).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(errors[0]).toMatchObject({ code: 'EV_CLOSED' })
	})
})

import { getEventListeners, once } from 'node:events'
import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { until } from '@evstream/testkit'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { EvStreamManager } from '../src/index.js'
import { dial, serve } from './support/visit.js'
import { isEmpty } from './support/watch.js'

/** A generator of numbers in [0, 1) that gives the same ones for the same seed. */
function seeded(seed: number): () => number {
	let state = seed
	return () => {
		state = (state + 0x6d2b79f5) | 0
		let value = Math.imul(state ^ (state >>> 15), state | 1)
		value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
		return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
	}
}

/** The timers that the sources made and that are neither cleared nor over. */
function liveTimers(): { readonly size: number } {
	const live = new Set<unknown>()
	const { setTimeout: set, clearTimeout: clear } = globalThis
	vi.spyOn(globalThis, 'setTimeout').mockImplementation(((run: () => void, delay: number) => {
		const timer = set(() => {
			live.delete(timer)
			run()
		}, delay)
		if (new Error().stack?.includes('/core/src/')) live.add(timer)
		return timer
	}) as typeof setTimeout)
	vi.spyOn(globalThis, 'clearTimeout').mockImplementation((timer) => {
		live.delete(timer)
		clear(timer)
	})
	return live
}

const moments = ['sent', 'arrived', 'verify', 'await', 'listening', 'written', 'closed'] as const

describe('nothing is left', () => {
	afterEach(() => {
		vi.restoreAllMocks()
	})

	it.each([undefined, { size: 50 }])(
		'of 1,000 clients that leave at random moments, with history %j',
		async (history) => {
			const seed = Math.floor(Math.random() * 2 ** 31)
			const random = seeded(seed)
			const what = `seed ${seed}`
			const timers = liveTimers()
			const resources = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
			const plan = Array.from({ length: 1_000 }, () => ({
				moment: moments[Math.floor(random() * moments.length)],
				reset: random() < 0.3,
				turns: Math.floor(random() * 4),
			}))
			const sockets = new Map<number, Socket>()
			const seen = new Set<string>()
			let running = 0
			let closed = 0
			const manager = new EvStreamManager({ history, heartbeat: 60_000 })

			/** The client leaves if this is its moment; the server may or may not have heard of it on return. */
			async function pass(client: number, moment: (typeof moments)[number]): Promise<void> {
				const { turns = 0, reset, moment: leaves } = plan[client] ?? {}
				if (leaves === moment) {
					seen.add(moment)
					if (reset) sockets.get(client)?.resetAndDestroy()
					else sockets.get(client)?.destroy()
				}
				for (let n = 0; n < turns; n++) await turn()
			}

			const server = await serve(async (req, res) => {
				const client = Number(req.headers['x-client'])
				running++
				await pass(client, 'arrived')
				const authenticated = client % 2 === 0
				const verify = async () => {
					await pass(client, 'verify')
					return true
				}
				const stream = manager.createStream(req, res, {
					maxAge: 60_000,
					...(authenticated && { authentication: { method: 'custom', verify, revalidate: 60_000 } }),
				})
				stream.onClose(() => void closed++)
				if ((await stream.authenticate()) !== false) {
					if (!authenticated) await pass(client, 'verify')
					await pass(client, 'await')
					stream.listen('all')
					stream.listen(`room-${client % 10}`)
					await pass(client, 'listening')
					stream.message({ data: 'hello' })
					manager.send('all', { data: { from: client } })
					await pass(client, 'written')
					stream.close()
					await pass(client, 'closed')
				}
				running--
			})

			for (let client = 0; client < plan.length; client++) {
				const { socket } = await dial(server, 'GET / HTTP/1.1', 'Host: localhost', `X-Client: ${client}`)
				sockets.set(client, socket)
				if (plan[client]?.moment !== 'sent') continue
				seen.add('sent')
				if (random() < 0.5) await once(socket, 'connect')
				socket.destroy()
			}
			const gone = (): Promise<boolean> =>
				new Promise((resolve) => server.server.getConnections((_error, count) => resolve(count === 0)))
			await until(async () => running === 0 && (await gone()), { timeout: 15_000, what })
			await until(() => isEmpty(manager), { what })

			expect([...seen].sort(), what).toEqual([...moments].sort())
			expect(closed, what).toBeGreaterThan(800)
			// With history there is one more, of the manager: it drops what has expired.
			expect(timers.size, what).toBeLessThanOrEqual(history === undefined ? 0 : 1)
			await manager.close()
			expect(timers.size, what).toBe(0)
			await until(
				() => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length <= resources + 1,
				{ what },
			)
		},
		60_000,
	)

	it('on a connection that carries one stream after the other', async () => {
		const manager = new EvStreamManager()
		const counts: number[] = []
		const names = ['close', 'drain', 'error', 'end', 'finish']
		const server = await serve((req, res) => {
			counts.push(names.reduce((sum, name) => sum + req.socket.listenerCount(name), 0))
			const stream = manager.createStream(req, res)
			stream.message({ data: 'a' })
			stream.close()
		})
		const client = await dial(server, 'GET / HTTP/1.1', 'Host: localhost')
		for (let n = 1; n < 20; n++) {
			await until(() => client.text.split('event:end').length === n + 1)
			client.socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
		}
		await until(() => counts.length === 20)
		expect(Math.max(...counts)).toBe(counts[0])
	})

	it('on a connection whose requests wait for each other', async () => {
		const manager = new EvStreamManager()
		let connection: Socket | undefined
		let streams = 0
		const server = await serve((req, res) => {
			connection = req.socket
			streams++
			const stream = manager.createStream(req, res)
			stream.close()
		})
		const request = ['GET / HTTP/1.1', 'Host: localhost']
		const client = await dial(server, ...request)
		await until(() => client.text.includes('0\r\n\r\n'))
		const before = connection?.listenerCount('close')
		client.socket.write(`${request.join('\r\n')}\r\n\r\n`.repeat(8))
		await until(() => streams === 9 && client.text.split('event:end').length === 10)
		await until(() => isEmpty(manager))
		expect(connection?.listenerCount('close')).toBe(before)
	})

	it('on the request of a web response', async () => {
		const manager = new EvStreamManager()
		const controller = new AbortController()
		const request = new Request('http://localhost/', { signal: controller.signal })
		const { stream, response } = manager.createResponse(request)
		stream.listen('news')
		expect(getEventListeners(request.signal, 'abort')).toHaveLength(1)
		await response.body?.cancel()
		expect(stream.closed).toBe(true)
		expect(getEventListeners(request.signal, 'abort')).toHaveLength(0)
		expect(isEmpty(manager)).toBe(true)
	})
})

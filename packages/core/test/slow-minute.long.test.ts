import { connect, type Socket } from 'node:net'
import { until } from '@evstream/testkit'
import { expect, it, onTestFinished } from 'vitest'
import type { EvManagerOptions } from '../src/index.js'
import { type CountingClient, countBytes } from './support/count-bytes.js'
import { type Served, serve } from './support/streams-server.js'
import { LARGE, nextTurn } from './support/streams-slow.js'

const MINUTE = 60_000
const FAST = 400
const SLOW = 100
const maxBuffer = 131_072
const MB = 1_048_576

/** A server with clients that read and clients that do not; one of those that is cut off comes back at once. */
async function crowd(options: EvManagerOptions): Promise<{
	readonly served: Served
	readonly fast: readonly CountingClient[]
	/** The slow ones that are connected now, by their port. */
	readonly slow: ReadonlyMap<number, Socket>
}> {
	const slow = new Map<number, Socket>()
	let over = false
	const served = await serve(
		{ maxBuffer, stallTimeout: 5_000, ...options },
		{
			onStream(stream, req) {
				const port = req.socket.remotePort ?? 0
				if (!slow.has(port)) return
				stream.onClose(() => {
					slow.get(port)?.destroy()
					slow.delete(port)
					if (!over) open()
				})
			},
		},
	)
	function open(): void {
		const socket = connect(served.port, '127.0.0.1', () => {
			slow.set(socket.localPort ?? 0, socket)
			socket.write('GET /?channel=a&channel=slow HTTP/1.1\r\nHost: localhost\r\n\r\n')
		})
		socket.pause().on('error', () => {})
	}
	onTestFinished(() => {
		over = true
		for (const socket of slow.values()) socket.destroy()
	})
	const fast: CountingClient[] = []
	for (let n = 0; n < FAST; n++) fast.push(await countBytes(`${served.url}/?channel=a`))
	for (let n = 0; n < SLOW; n++) open()
	await until(() => served.manager.stats().connections === FAST + SLOW)
	return { served, fast, slow }
}

it('200 slow clients among 1,000 cost bounded memory for a minute, however often they come back', async () => {
	const dead = await crowd({ slow: 'disconnect' })
	const sluggish = await crowd({ slow: 'drop' })
	const crowds = [dead, sluggish]
	const most = { buffered: 0, rss: 0 }
	let bytes = 0
	let number = 0
	let before = 0
	const start = performance.now()
	for (let step = 0; performance.now() - start < MINUTE; step++) {
		for (let n = 0; n < 5; n++) {
			const data = `${'x'.repeat(1_000)} ${number++}`
			bytes += `data:${data}\n\n`.length
			for (const { served } of crowds) served.manager.send('a', { data })
		}
		// Fills what the kernel takes for the slow ones, about 3 MB each, in turns, so that it is not a burst.
		if (step % 50 === 0) {
			for (let n = 0; n < 50; n++) {
				for (const { served } of crowds) served.manager.send('slow', { data: LARGE })
				await nextTurn()
			}
		}
		// They do read, but less than they are sent.
		for (const socket of sluggish.slow.values()) {
			socket.once('data', () => void socket.pause()).resume()
		}
		const next = start + (step + 1) * 100
		await until(
			() =>
				performance.now() >= next &&
				crowds.every(({ fast }) => fast.every((client) => client.bytes >= bytes)),
			{ timeout: 30_000 },
		)
		const buffered = crowds.reduce((sum, { served }) => sum + served.manager.stats().bufferedBytes, 0)
		most.buffered = Math.max(most.buffered, buffered)
		const rss = process.memoryUsage.rss()
		// What grows after the first third of the minute was not bounded.
		if (performance.now() - start < MINUTE / 3) before = Math.max(before, rss)
		else most.rss = Math.max(most.rss, rss)
	}
	for (const { fast } of crowds) {
		for (const client of fast) {
			expect(client.bytes).toBe(bytes)
			expect(client.last).toMatch(new RegExp(` ${number - 1}\n\n$`))
		}
	}
	const [disconnects, drops] = crowds.map(({ served }) => served.manager.stats())
	expect(most.buffered).toBeGreaterThan(0)
	expect(most.buffered).toBeLessThanOrEqual(2 * SLOW * (maxBuffer + LARGE.length + 10))
	expect(most.rss - before).toBeLessThan(64 * MB)
	// They came back, were too slow again, and so on.
	expect(disconnects?.slowDisconnects).toBeGreaterThan(3 * SLOW)
	expect(drops?.resets).toBeGreaterThan(SLOW)
}, 180_000)

import { openSse, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { Frame } from '../src/frame.js'
import { serve } from './support/streams-server.js'
import { holdSocket, LARGE, nextTurn, numbersOf } from './support/streams-slow.js'

const patient = { maxBuffer: Number.POSITIVE_INFINITY }

describe('a producer that listens to the client', () => {
	it('is told false by message once the client is behind, and drain resolves when it has caught up', async () => {
		const { url, streams } = await serve(patient)
		const client = await openSse(url)
		const { stream } = await streams.next()
		expect(stream.message({ data: '0' })).toBe(true)
		await stream.drain()
		client.pause()
		let sent = 1
		while (stream.message({ data: `${sent++} ${LARGE}` })) await nextTurn()
		let drained = false
		const draining = stream.drain().then(() => {
			drained = true
		})
		await nextTurn()
		expect(drained).toBe(false)
		expect(stream.message({ data: `${sent++}` })).toBe(false)
		client.resume()
		await draining
		expect(stream.message({ data: `${sent++}` })).toBe(true)
		await client.next(({ data }) => data === `${sent - 1}`)
		expect(numbersOf(client)).toEqual(Array.from({ length: sent }, (_, n) => n))
	})

	it('is released from drain when the client leaves', async () => {
		const { url, streams } = await serve(patient)
		const client = await openSse(url)
		const { stream } = await streams.next()
		client.pause()
		while (stream.message({ data: LARGE })) await nextTurn()
		const draining = stream.drain()
		client.close()
		await draining
		expect(stream.closed).toBe(true)
	})

	it('is asked by from for no more than the client takes', async () => {
		const { url, manager, streams } = await serve(patient)
		const client = await openSse(url)
		const { stream } = await streams.next()
		client.pause()
		let made = 0
		const total = 500
		async function* tokens(): AsyncGenerator<string> {
			while (made < total) {
				await nextTurn()
				yield `${made++} ${LARGE}`
			}
		}
		const written = stream.from(tokens())
		await until(() => manager.stats().bufferedBytes > 0)
		const { bufferedBytes } = manager.stats()
		const asked = made
		for (let turn = 0; turn < 20; turn++) await nextTurn()
		expect(made).toBeLessThanOrEqual(asked + 1)
		expect(asked).toBeLessThan(total)
		expect(bufferedBytes).toBeLessThan(2 * LARGE.length + 100)
		client.resume()
		expect(await written).toBe(true)
		await client.next(({ data }) => data.startsWith(`${total - 1} `))
		expect(numbersOf(client)).toEqual(Array.from({ length: total }, (_, n) => n))
	})

	it('is released by from when the client leaves, though its source never ends', async () => {
		const { url, streams } = await serve(patient)
		const client = await openSse(url)
		const { stream } = await streams.next()
		let released = false
		const endless = {
			[Symbol.asyncIterator]: () => ({
				next: () => new Promise<IteratorResult<string>>(() => {}),
				return: () => {
					released = true
					return Promise.resolve<IteratorResult<string>>({ done: true, value: undefined })
				},
			}),
		}
		const written = stream.from(endless)
		client.close()
		expect(await written).toBe(false)
		expect(released).toBe(true)
	})
})

describe('bufferedBytes', () => {
	it('is exactly what waits in this process, and falls to 0', async () => {
		const { url, manager, streams } = await serve(patient)
		const client = await openSse(`${url}/?channel=a`)
		const { stream, res } = await streams.next()
		await nextTurn()
		expect(manager.stats().bufferedBytes).toBe(0)
		client.pause()
		while (stream.message({ data: LARGE })) await nextTurn()
		manager.send('a', { data: 'one' })
		stream.message({ data: 'two' })
		await nextTurn()
		expect(manager.stats().bufferedBytes).toBe(res.socket?.writableLength)
		client.resume()
		await until(() => manager.stats().bufferedBytes === 0)
	})

	it('counts each frame as it goes over the wire', async () => {
		const { url, manager, streams } = await serve(patient)
		await openSse(`${url}/?channel=a`)
		const { stream, res } = await streams.next()
		await nextTurn()
		holdSocket(res)
		stream.message({ data: 'one' })
		await nextTurn()
		const one = new Frame('data:one\n\n').chunk.length
		expect(manager.stats().bufferedBytes).toBe(one)
		manager.send('a', { data: 'two' })
		manager.send('a', { data: 'three' })
		await nextTurn()
		const run = new Frame('data:two\n\ndata:three\n\n').chunk.length
		expect(manager.stats().bufferedBytes).toBe(one + run)
	})

	it('knows the bytes that wait in a response whose write was replaced', async () => {
		const { url, manager, streams } = await serve(patient, {
			before: (_req, res) => {
				const write = res.write.bind(res)
				res.write = (chunk: unknown) => write(chunk)
			},
		})
		const client = await openSse(url)
		const { stream } = await streams.next()
		client.pause()
		do {
			stream.message({ data: LARGE })
			await nextTurn()
		} while (manager.stats().bufferedBytes === 0)
		for (let n = 0; n < 10; n++) stream.message({ data: LARGE })
		await nextTurn()
		expect(manager.stats().bufferedBytes).toBeGreaterThan(10 * LARGE.length)
		expect(manager.stats().bufferedBytes).toBeLessThan(13 * LARGE.length)
		client.resume()
		await until(() => manager.stats().bufferedBytes === 0)
		await until(() => stream.message({ data: 'more' }))
	})
})

describe('a conflated channel', () => {
	it('keeps only the newest message for a client that is behind', async () => {
		const { url, manager, streams } = await serve({ maxBuffer: 1_048_576 })
		const source = manager.provide('state', { snapshot: () => ({ data: '0 snapshot' }) })
		const slow = await openSse(`${url}/?channel=state`)
		slow.pause()
		await streams.next()
		const fast = await openSse(`${url}/?channel=state`)
		await streams.next()
		let most = 0
		for (let n = 1; n <= 500; n++) {
			source.broadcast({ data: `${n} ${LARGE}` })
			await nextTurn()
			most = Math.max(most, manager.stats().bufferedBytes)
		}
		expect(manager.stats()).toMatchObject({ connections: 2, slowDisconnects: 0, resets: 0 })
		expect(most).toBeLessThan(6 * LARGE.length)
		slow.resume()
		await slow.next(({ data }) => data.startsWith('500 '))
		await fast.next(({ data }) => data.startsWith('500 '))
		const numbers = numbersOf(slow)
		expect(numbers.length).toBeLessThan(400)
		expect(numbers).toEqual([...Array.from({ length: numbers.length - 1 }, (_, n) => n), 500])
		source.broadcast({ data: '501' })
		await slow.next(({ data }) => data === '501')
	})
})

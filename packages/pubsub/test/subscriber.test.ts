import { beforeEach, describe, expect, it, vi } from 'vitest'
import { makeSubscriber } from './fake-redis.js'

/** Longer than the longest pause between two attempts, in ms. */
const PAUSE = 2_500

beforeEach(() => {
	vi.useFakeTimers()
	return () => void vi.useRealTimers()
})

describe('a first connection that ends before all channels are confirmed', () => {
	it('is told as lost: one of them was confirmed, and misses what comes until the next one', async () => {
		const { connections, calls, subscriber } = makeSubscriber()
		const heard: string[] = []
		const first = subscriber.subscribe('a', (payload) => void heard.push(payload))
		subscriber.subscribe('b', () => {}).catch(() => {})
		connections[0]?.ready()
		connections[0]?.asked.get('a')?.confirm()
		await first
		connections[0]?.emit('message', 'a', '1')
		expect(heard).toEqual(['1'])
		connections[0]?.end()
		expect(calls).toEqual(['lost'])
		await vi.advanceTimersByTimeAsync(PAUSE)
		connections[1]?.ready()
		connections[1]?.asked.get('a')?.confirm()
		await vi.advanceTimersByTimeAsync(0)
		expect(calls).toEqual(['lost'])
		connections[1]?.asked.get('b')?.confirm()
		await vi.advanceTimersByTimeAsync(0)
		expect(calls).toEqual(['lost', 'restored'])
	})

	it('is nothing that anybody missed if none of them was', async () => {
		const { connections, calls, subscriber } = makeSubscriber()
		const subscribed = subscriber.subscribe('a', () => {})
		connections[0]?.ready()
		connections[0]?.end()
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[1]?.up()
		await subscribed
		expect(calls).toEqual([])
	})
})

describe('a subscriber that was lost', () => {
	it('is lost once and restored once, however many connections end in between', async () => {
		const { connections, calls, subscriber } = makeSubscriber()
		const subscribed = Promise.all([subscriber.subscribe('a', () => {}), subscriber.subscribe('b', () => {})])
		await connections[0]?.up()
		await subscribed
		connections[0]?.end()
		for (const attempt of [1, 2]) {
			await vi.advanceTimersByTimeAsync(PAUSE)
			connections[attempt]?.ready()
			connections[attempt]?.asked.get('a')?.confirm()
			await vi.advanceTimersByTimeAsync(0)
			connections[attempt]?.end()
		}
		expect(calls).toEqual(['lost'])
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[3]?.up()
		expect(calls).toEqual(['lost', 'restored'])
		expect(subscriber.reconnects).toBe(1)
		connections[3]?.end()
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[4]?.up()
		expect(calls).toEqual(['lost', 'restored', 'lost', 'restored'])
		expect(subscriber.reconnects).toBe(2)
	})

	it('waits longer after each failed attempt, and as short as at first once it was up', async () => {
		const { connections, subscriber } = makeSubscriber()
		const subscribed = subscriber.subscribe('a', () => {})
		const pauses: number[] = []
		for (let attempt = 0; attempt < 8; attempt++) {
			const before = performance.now()
			connections[attempt]?.end()
			while (connections.length === attempt + 1) await vi.advanceTimersByTimeAsync(1)
			pauses.push(performance.now() - before)
		}
		for (const [index, pause] of pauses.entries()) {
			const least = Math.min(50 * 2 ** index, 2000)
			expect(pause).toBeGreaterThanOrEqual(least)
			expect(pause).toBeLessThanOrEqual(least * 1.25 + 1)
		}
		await connections[8]?.up()
		await subscribed
		connections[8]?.end()
		await vi.advanceTimersByTimeAsync(63)
		expect(connections).toHaveLength(10)
	})

	it('tells an error again after it was up, and once in each outage', async () => {
		const { connections, errors, subscriber } = makeSubscriber()
		void subscriber.subscribe('a', () => {})
		const refused = new Error('connect ECONNREFUSED')
		for (const attempt of [0, 1]) {
			connections[attempt]?.emit('error', refused)
			connections[attempt]?.end()
			await vi.advanceTimersByTimeAsync(PAUSE)
		}
		expect(errors).toEqual([refused])
		await connections[2]?.up()
		connections[2]?.emit('error', refused)
		expect(errors).toEqual([refused, refused])
	})

	it('hears nothing of connections that it gave up', async () => {
		const { connections, calls, errors, subscriber } = makeSubscriber()
		const heard: string[] = []
		const subscribed = subscriber.subscribe('a', (payload) => void heard.push(payload))
		await connections[0]?.up()
		await subscribed
		connections[0]?.end()
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[1]?.up()
		const [old] = connections
		old?.emit('message', 'a', 'old')
		old?.emit('error', new Error('old'))
		old?.emit('ready')
		old?.emit('end')
		connections[1]?.emit('message', 'a', 'new')
		expect(heard).toEqual(['new'])
		expect(errors).toEqual([])
		expect(calls).toEqual(['lost', 'restored'])
		expect(subscriber.isUp).toBe(true)
	})

	it('tries again while there is no node to connect to', async () => {
		const { connections, subscriber, at } = makeSubscriber()
		at.noNode = true
		const subscribed = subscriber.subscribe('a', () => {})
		await vi.advanceTimersByTimeAsync(PAUSE)
		expect(subscriber.isUp).toBe(false)
		at.noNode = false
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[0]?.up()
		await subscribed
		expect(subscriber.isUp).toBe(true)
	})
})

describe('a connection that makes no progress', () => {
	it('is replaced when it does not connect, or does not confirm, in time', async () => {
		const { connections, errors, subscriber } = makeSubscriber()
		const subscribed = subscriber.subscribe('a', () => {})
		await vi.advanceTimersByTimeAsync(5_001)
		expect(errors.map(String)).toEqual([
			'EvUnavailableError: Redis let no subscriber connect within 5000 ms.',
		])
		await vi.advanceTimersByTimeAsync(PAUSE)
		// Connecting took a while: subscribing gets a time of its own.
		await vi.advanceTimersByTimeAsync(1_000)
		connections[1]?.ready()
		await vi.advanceTimersByTimeAsync(4_990)
		expect(connections[1]?.status).toBe('ready')
		await vi.advanceTimersByTimeAsync(11)
		expect(errors.map(String).slice(1)).toEqual([
			'EvUnavailableError: Redis let no subscriber subscribe within 5000 ms.',
		])
		expect(connections[1]?.status).toBe('end')
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[2]?.up()
		await subscribed
		await vi.advanceTimersByTimeAsync(60_000)
		expect(connections).toHaveLength(3)
	})
})

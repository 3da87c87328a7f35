import { EventEmitter } from 'node:events'
import { until } from '@evstream/testkit'
import type { Redis } from 'ioredis'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Subscriber } from '../src/subscriber.js'

/** As much of a client as a subscriber uses; the test answers it. */
class FakeRedis extends EventEmitter {
	status = 'connecting'
	readonly asked = new Map<string, () => void>()

	subscribe(channel: string): Promise<void> {
		return new Promise((resolve, reject) => {
			this.asked.set(channel, resolve)
			this.once('end', () => reject(new Error('Connection is closed.')))
		})
	}

	async unsubscribe(): Promise<void> {}

	disconnect(): void {
		this.end()
	}

	ready(): void {
		this.status = 'ready'
		this.emit('ready')
	}

	end(): void {
		if (this.status === 'end') return
		this.status = 'end'
		this.emit('end')
	}
}

function setUp() {
	const connections: FakeRedis[] = []
	const calls: string[] = []
	const subscriber = new Subscriber({
		open: () => {
			const redis = new FakeRedis()
			connections.push(redis)
			// It offers what the subscriber calls.
			return redis as unknown as Redis
		},
		timeout: 5_000,
		probe: undefined,
		onError: () => {},
		onLost: () => calls.push('lost'),
		onRestored: () => calls.push('restored'),
	})
	onTestFinished(() => subscriber.close())
	return { connections, calls, subscriber }
}

describe('a first connection that ends before all channels are confirmed', () => {
	it('is told as lost: one of them was confirmed, and misses what comes until the next one', async () => {
		const { connections, calls, subscriber } = setUp()
		const heard: string[] = []
		const first = subscriber.subscribe('a', (payload) => void heard.push(payload))
		subscriber.subscribe('b', () => {}).catch(() => {})
		await until(() => connections.length === 1)
		connections[0]?.ready()
		connections[0]?.asked.get('a')?.()
		await first
		connections[0]?.emit('message', 'a', '1')
		expect(heard).toEqual(['1'])
		connections[0]?.end()
		expect(calls).toEqual(['lost'])
		await until(() => connections.length === 2)
		connections[1]?.ready()
		connections[1]?.asked.get('a')?.()
		await Promise.resolve()
		expect(calls).toEqual(['lost'])
		connections[1]?.asked.get('b')?.()
		await until(() => calls.length === 2)
		expect(calls).toEqual(['lost', 'restored'])
	})

	it('is nothing that anybody missed if none of them was', async () => {
		const { connections, calls, subscriber } = setUp()
		const subscribed = subscriber.subscribe('a', () => {})
		await until(() => connections.length === 1)
		connections[0]?.ready()
		connections[0]?.end()
		await until(() => connections.length === 2)
		connections[1]?.ready()
		connections[1]?.asked.get('a')?.()
		await subscribed
		expect(calls).toEqual([])
	})
})

import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import { onTestFinished } from 'vitest'
import { type Probe, Subscriber } from '../src/subscriber.js'

interface Asked {
	readonly confirm: () => void
	readonly refuse: (error: Error) => void
}

/** As much of a subscriber's connection as is used; the test answers it. */
export class FakeRedis extends EventEmitter {
	status = 'connecting'
	/** SUBSCRIBEs without an answer, by channel. */
	readonly asked: Map<string, Asked> = new Map()
	readonly unsubscribed: string[] = []
	/** What has arrived on its socket. */
	readonly stream: { bytesRead: number } = { bytesRead: 0 }
	pings = 0

	subscribe(channel: string): Promise<void> {
		return new Promise((resolve, reject) => {
			this.asked.set(channel, { confirm: resolve, refuse: reject })
			this.once('end', () => reject(new Error('Connection is closed.')))
		})
	}

	async unsubscribe(channel: string): Promise<void> {
		this.unsubscribed.push(channel)
	}

	async ping(): Promise<void> {
		this.pings++
	}

	disconnect(): void {
		this.end()
	}

	ready(): void {
		this.status = 'ready'
		this.emit('ready')
	}

	/** Connects and confirms everything that is asked for. */
	async up(): Promise<void> {
		this.ready()
		for (const { confirm } of this.asked.values()) confirm()
		await Promise.resolve()
	}

	end(): void {
		if (this.status === 'end') return
		this.status = 'end'
		this.emit('end')
	}

	/** It offers what is called on it. */
	asClient(): Redis {
		return this as unknown as Redis
	}
}

export interface FakeProbe extends Probe {
	readonly sent: string[]
	isTaken: boolean
	isReady: boolean
}

/** A probe whose echoes the test sends. */
export function fakeProbe(interval: number): FakeProbe {
	return {
		interval,
		channel: 'probe',
		sent: [],
		isTaken: true,
		isReady: true,
		ready() {
			return this.isReady
		},
		send(token) {
			this.sent.push(token)
		},
		taken() {
			return this.isTaken
		},
	}
}

export interface SubscriberSetup {
	readonly subscriber: Subscriber
	/** Those that were opened, the first one first. */
	readonly connections: FakeRedis[]
	/** `lost` and `restored`, in order. */
	readonly calls: string[]
	readonly errors: unknown[]
	/** `noNode` makes `open` fail, as in a Cluster that knows no node. */
	readonly at: { noNode: boolean }
}

/** A subscriber on connections that the test answers. */
export function makeSubscriber(probe?: Probe): SubscriberSetup {
	const connections: FakeRedis[] = []
	const calls: string[] = []
	const errors: unknown[] = []
	const at = { noNode: false }
	const subscriber = new Subscriber({
		open: () => {
			if (at.noNode) return undefined
			const redis = new FakeRedis()
			connections.push(redis)
			return redis.asClient()
		},
		timeout: 5_000,
		probe,
		onError: (error) => errors.push(error),
		onLost: () => calls.push('lost'),
		onRestored: () => calls.push('restored'),
	})
	onTestFinished(() => subscriber.close())
	return { connections, calls, errors, subscriber, at }
}

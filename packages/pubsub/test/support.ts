import { startRedis, type TestRedis } from '@evstream/testkit'
import { afterAll, afterEach, beforeAll, expect, onTestFinished } from 'vitest'
import { RedisBus, type RedisBusOptions, type RedisSource } from '../src/index.js'

/** A probe that finds a dead connection in well under a second. */
export const fastProbe = { interval: 50, timeout: 150 }

let names = 0

/** A channel nobody else uses, also on a shared Redis. */
export function uniqueName(): string {
	return `test:${process.pid}:${Date.now()}:${++names}`
}

/** One Redis for the suite, and a check that nothing was left to chance: no rejection without an owner. */
export function useRedis(): { redis: () => TestRedis } {
	let redis: TestRedis | undefined
	const unhandled: unknown[] = []
	const onUnhandled = (reason: unknown): void => void unhandled.push(reason)
	beforeAll(async () => {
		process.on('unhandledRejection', onUnhandled)
		redis = await startRedis()
	})
	afterEach(() => expect(unhandled).toEqual([]))
	afterAll(async () => {
		process.off('unhandledRejection', onUnhandled)
		await redis?.stop()
	})
	return {
		redis: () => {
			if (!redis) throw new Error('Only inside tests')
			return redis
		},
	}
}

/** A bus that is closed with its test and keeps its errors. */
export function makeBus(
	source: RedisSource,
	options: RedisBusOptions = {},
): { bus: RedisBus; errors: unknown[]; events: string[] } {
	const errors: unknown[] = []
	const events: string[] = []
	const bus = new RedisBus(source, { probe: fastProbe, onError: (error) => errors.push(error), ...options })
	bus.onLost(() => events.push('lost'))
	bus.onRestored(() => events.push('restored'))
	onTestFinished(() => bus.close())
	return { bus, errors, events }
}

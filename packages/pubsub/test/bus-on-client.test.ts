import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { RedisBus, type RedisBusOptions } from '../src/index.js'
import { FakeClient } from './fake-client.js'

const INTERVAL = 1_000
const TIMEOUT = 3_000

beforeEach(() => {
	vi.useFakeTimers()
	return () => void vi.useRealTimers()
})

async function busOn(options: RedisBusOptions = {}) {
	const client = new FakeClient()
	const errors: unknown[] = []
	const bus = new RedisBus(client.asClient(), {
		probe: { interval: INTERVAL, timeout: TIMEOUT },
		onError: (error) => errors.push(error),
		...options,
	})
	onTestFinished(() => bus.close())
	const calls: string[] = []
	bus.onLost(() => calls.push('lost'))
	bus.onRestored(() => calls.push('restored'))
	const subscribed = bus.subscribe('a', () => {})
	await client.connections[0]?.up()
	return { client, bus, errors, calls, undo: await subscribed }
}

describe('a bus on an existing client', () => {
	it('sends no probe, and gives up no subscriber, while commands do not go through', async () => {
		const { client, calls, errors } = await busOn()
		client.become('reconnecting')
		await vi.advanceTimersByTimeAsync(10 * (INTERVAL + TIMEOUT))
		expect(client.published).toEqual([])
		expect(client.connections).toHaveLength(1)
		expect([...calls, ...errors]).toEqual([])
		client.become('ready')
		await vi.advanceTimersByTimeAsync(INTERVAL)
		expect(client.published).toEqual(['1'])
	})

	it('replaces its subscriber when the probe fails, and leaves the client alone', async () => {
		const { client, calls } = await busOn()
		client.publish = () => new Promise(() => {})
		await vi.advanceTimersByTimeAsync(INTERVAL + TIMEOUT + 1)
		expect(calls).toEqual(['lost'])
		expect(client.disconnects).toBe(0)
	})

	it('sends no probe at all if told so', async () => {
		const { client } = await busOn({ probe: false })
		expect([...(client.connections[0]?.asked.keys() ?? [])]).toEqual(['a'])
		expect(vi.getTimerCount()).toBe(0)
	})

	it('tells an error of the client once in an outage, and again after it was ready', async () => {
		const { client, errors, bus } = await busOn()
		const [away, other] = [new Error('ECONNREFUSED'), new Error('ETIMEDOUT')]
		for (const error of [away, away, other, away, other]) client.emit('error', error)
		expect(errors).toEqual([away, other])
		client.become('ready')
		client.emit('error', away)
		expect(errors).toEqual([away, other, away])
		await bus.close()
		expect(client.listenerCount('error') + client.listenerCount('ready')).toBe(0)
	})

	it('keeps a report of distinct errors bounded, and takes any value for an error', async () => {
		const { client, errors } = await busOn()
		for (let n = 0; n < 50; n++)
			client.emit('error', n % 2 ? `text ${'x'.repeat(n)}` : new Error(`error ${'x'.repeat(n)}`))
		expect(errors).toHaveLength(20)
		client.become('ready')
		client.emit('error', `text ${'x'.repeat(49)}`)
		expect(errors).toHaveLength(21)
	})

	it('without onError leaves the errors of the client to its owner', async () => {
		const client = new FakeClient()
		const bus = new RedisBus(client.asClient(), { probe: false })
		expect(client.listenerCount('error')).toBe(0)
		await bus.close()
	})

	it('stops nobody by a callback that throws or rejects, and reports it', async () => {
		const { client, bus, errors, calls } = await busOn()
		bus.onLost(() => {
			throw new Error('at once')
		})
		bus.onLost(async () => {
			throw new Error('later')
		})
		const undo = bus.onLost(() => calls.push('undone'))
		bus.onLost(() => calls.push('last'))
		undo()
		client.connections[0]?.end()
		await vi.advanceTimersByTimeAsync(0)
		expect(calls).toEqual(['lost', 'last'])
		expect(errors.map(String)).toEqual(['Error: at once', 'Error: later'])
	})

	it('is healthy only while commands go through and all channels are confirmed', async () => {
		const { client, bus } = await busOn()
		expect(bus.healthy).toBe(true)
		client.become('reconnecting')
		expect(bus.healthy).toBe(false)
		client.become('ready')
		client.connections[0]?.end()
		expect(bus.healthy).toBe(false)
		await vi.advanceTimersByTimeAsync(100)
		await client.connections[1]?.up()
		expect(bus.healthy).toBe(true)
		const closing = bus.close()
		expect(bus.healthy).toBe(false)
		await closing
	})

	it('survives an onError that throws', async () => {
		const { client, bus } = await busOn({
			onError: () => {
				throw new Error('onError')
			},
		})
		client.emit('error', new Error('away'))
		expect(bus.healthy).toBe(true)
	})

	it('tells nobody any more once a callback closed it', async () => {
		for (const event of ['onLost', 'onRestored'] as const) {
			const { client, bus, calls } = await busOn()
			bus[event](() => void bus.close())
			bus[event](() => calls.push('too late'))
			client.connections[0]?.end()
			await vi.advanceTimersByTimeAsync(100)
			await client.connections[1]?.up()
			await bus.close()
			expect(calls).not.toContain('too late')
		}
	})

	it('refuses times that no timer can wait, and a limit of nothing', () => {
		const client = new FakeClient().asClient()
		for (const ms of [0, -1, 2 ** 31, Number.NaN, Number.POSITIVE_INFINITY]) {
			expect(() => new RedisBus(client, { deadline: ms })).toThrow(RangeError)
			expect(() => new RedisBus(client, { probe: { interval: ms } })).toThrow(RangeError)
			expect(() => new RedisBus(client, { probe: { timeout: ms } })).toThrow(RangeError)
		}
		for (const maxPending of [0, -1, Number.NaN]) {
			expect(() => new RedisBus(client, { maxPending })).toThrow(RangeError)
		}
	})

	it('leaves no rejection unhandled that the caller ignores', async () => {
		const { bus } = await busOn()
		await bus.close()
		const unhandled = vi.fn()
		process.on('unhandledRejection', unhandled)
		onTestFinished(() => void process.off('unhandledRejection', unhandled))
		void bus.publish('a', 'x')
		void bus.subscribe('a', () => {})
		await new Promise((resolve) => process.nextTick(resolve))
		vi.useRealTimers()
		await new Promise((resolve) => setImmediate(resolve))
		expect(unhandled).not.toHaveBeenCalled()
	})
})

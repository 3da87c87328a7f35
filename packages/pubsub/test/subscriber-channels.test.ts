import { beforeEach, describe, expect, it, vi } from 'vitest'
import { fakeProbe, makeSubscriber } from './fake-redis.js'

/** Longer than the longest pause between two attempts, in ms. */
const PAUSE = 2_500

beforeEach(() => {
	vi.useFakeTimers()
	return () => void vi.useRealTimers()
})

async function openA() {
	const made = makeSubscriber()
	const subscribed = made.subscriber.subscribe('a', () => {})
	await made.connections[0]?.up()
	return { ...made, undo: await subscribed }
}

describe('a channel that Redis refuses', () => {
	it('is refused to all who wait for it, and forgotten: the others are up, and it may be tried again', async () => {
		const { connections, subscriber, calls } = makeSubscriber()
		const fine = subscriber.subscribe('a', () => {})
		const refusals = Promise.allSettled([
			subscriber.subscribe('b', () => {}),
			subscriber.subscribe('b', () => {}),
		])
		const [redis] = connections
		redis?.ready()
		redis?.asked.get('a')?.confirm()
		redis?.asked.get('b')?.refuse(new Error('NOPERM'))
		await fine
		expect(await refusals).toEqual([
			{ status: 'rejected', reason: new Error('NOPERM') },
			{ status: 'rejected', reason: new Error('NOPERM') },
		])
		expect(subscriber.isUp).toBe(true)
		expect(subscriber.channels).toBe(1)
		expect(redis?.status).toBe('ready')
		const again = subscriber.subscribe('b', () => {})
		redis?.asked.get('b')?.confirm()
		await again
		expect(subscriber.channels).toBe(2)
		expect(calls).toEqual([])
	})

	it('although it was confirmed before gets a new connection, as a listener relies on it', async () => {
		const { connections, errors, calls } = await openA()
		connections[0]?.end()
		await vi.advanceTimersByTimeAsync(PAUSE)
		connections[1]?.ready()
		connections[1]?.asked.get('a')?.refuse(new Error('NOPERM'))
		await vi.advanceTimersByTimeAsync(0)
		expect(connections[1]?.status).toBe('end')
		expect(errors).toEqual([new Error('NOPERM')])
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[2]?.up()
		expect(calls).toEqual(['lost', 'restored'])
	})

	it('is not taken for refused when only its connection ended', async () => {
		const { connections, subscriber, errors } = makeSubscriber()
		const subscribed = subscriber.subscribe('a', () => {})
		connections[0]?.ready()
		connections[0]?.end()
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[1]?.up()
		await subscribed
		expect(errors).toEqual([])
	})

	it('and is the one of the probe has the connection replaced, and says what to do', async () => {
		const { connections, subscriber, errors } = makeSubscriber(fakeProbe(100))
		subscriber.subscribe('a', () => {}).catch(() => {})
		connections[0]?.ready()
		connections[0]?.asked.get('probe')?.refuse(new Error('NOPERM'))
		await vi.advanceTimersByTimeAsync(0)
		expect(connections[0]?.status).toBe('end')
		expect(String(errors[0])).toContain('set probe to false')
	})
})

describe('a channel that nobody listens to any more', () => {
	it('is unsubscribed, and is no channel of the next connection', async () => {
		const { connections, subscriber, undo } = await openA()
		undo()
		expect(connections[0]?.unsubscribed).toEqual(['a'])
		expect(subscriber.channels).toBe(0)
		connections[0]?.end()
		await vi.advanceTimersByTimeAsync(PAUSE)
		connections[1]?.ready()
		expect([...(connections[1]?.asked.keys() ?? [])]).toEqual([])
	})

	it('stays subscribed for others, and an old undo does not touch a new subscription', async () => {
		const { connections, subscriber, undo } = await openA()
		const second = await subscriber.subscribe('a', () => {})
		undo()
		expect(subscriber.channels).toBe(1)
		second()
		const heard: string[] = []
		const third = subscriber.subscribe('a', (payload) => void heard.push(payload))
		connections[0]?.asked.get('a')?.confirm()
		await third
		undo()
		second()
		expect(connections[0]?.unsubscribed).toEqual(['a'])
		connections[0]?.emit('message', 'a', 'x')
		expect(heard).toEqual(['x'])
	})

	it('is left to the next connection while that is not ready', async () => {
		const { connections, subscriber, undo } = await openA()
		connections[0]?.end()
		await vi.advanceTimersByTimeAsync(PAUSE)
		undo()
		expect(connections[1]?.unsubscribed).toEqual([])
		connections[1]?.ready()
		expect(connections[1]?.asked.size).toBe(0)
		expect(subscriber.channels).toBe(0)
	})

	it('is left to the next connection while there is none', async () => {
		const { connections, subscriber, undo } = await openA()
		connections[0]?.end()
		undo()
		expect(connections[0]?.unsubscribed).toEqual([])
		expect(subscriber.channels).toBe(0)
	})
})

describe('a subscriber that is closed', () => {
	it('refuses what waits and what comes, tells nobody, and connects no more', async () => {
		const { connections, subscriber, calls } = makeSubscriber()
		const waiting = subscriber.subscribe('a', () => {})
		const refused = expect(waiting).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await subscriber.close()
		await refused
		expect(connections[0]?.status).toBe('end')
		expect(vi.getTimerCount()).toBe(0)
		await expect(subscriber.subscribe('a', () => {})).rejects.toMatchObject({ code: 'EV_CLOSED' })
		await vi.advanceTimersByTimeAsync(60_000)
		expect(connections).toHaveLength(1)
		expect(subscriber.channels).toBe(0)
		expect(calls).toEqual([])
	})

	it('while it waits for the next attempt has no timer left', async () => {
		const { connections, subscriber, calls } = await openA()
		connections[0]?.end()
		await subscriber.close()
		expect(vi.getTimerCount()).toBe(0)
		expect(calls).toEqual(['lost'])
	})
})

describe('a channel that is subscribed while a connection is being set up', () => {
	it('keeps the subscriber from being up until it is confirmed too', async () => {
		const { connections, subscriber, calls } = await openA()
		connections[0]?.end()
		await vi.advanceTimersByTimeAsync(PAUSE)
		connections[1]?.ready()
		const late = subscriber.subscribe('b', () => {})
		connections[1]?.asked.get('a')?.confirm()
		await vi.advanceTimersByTimeAsync(0)
		expect(calls).toEqual(['lost'])
		expect(subscriber.isUp).toBe(false)
		connections[1]?.asked.get('b')?.confirm()
		await late
		await vi.advanceTimersByTimeAsync(0)
		expect(calls).toEqual(['lost', 'restored'])
	})

	it('waits for the connection, and is asked for once', async () => {
		const { connections, subscriber } = makeSubscriber()
		const both = Promise.all([subscriber.subscribe('a', () => {}), subscriber.subscribe('b', () => {})])
		const [redis] = connections
		expect(redis?.asked.size).toBe(0)
		await redis?.up()
		await both
		expect(connections).toHaveLength(1)
		expect(subscriber.isUp).toBe(true)
	})
})

describe('a channel whose connection was lost', () => {
	it('is confirmed to a new handler only by the next connection', async () => {
		const { connections, subscriber } = await openA()
		connections[0]?.end()
		const confirmed = vi.fn()
		const again = subscriber.subscribe('a', () => {}).then(confirmed)
		await vi.advanceTimersByTimeAsync(PAUSE)
		expect(confirmed).not.toHaveBeenCalled()
		await connections[1]?.up()
		await again
	})

	it('is not confirmed by an answer that is noticed after the end', async () => {
		const { connections, subscriber, calls } = makeSubscriber()
		const confirmed = vi.fn()
		const subscribed = subscriber.subscribe('a', () => {}).then(confirmed)
		connections[0]?.ready()
		// The answer came with the last bytes before the end.
		connections[0]?.asked.get('a')?.confirm()
		connections[0]?.end()
		await vi.advanceTimersByTimeAsync(0)
		expect(confirmed).not.toHaveBeenCalled()
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[1]?.up()
		await subscribed
		expect(calls).toEqual([])
	})

	it('is not refused by a late answer of a connection that was given up', async () => {
		const { connections, subscriber } = makeSubscriber()
		const subscribed = subscriber.subscribe('a', () => {})
		const [old] = connections
		if (!old) throw new Error('no connection')
		// A peer that does not close: it takes a while until the socket is destroyed.
		old.disconnect = () => {}
		old.ready()
		await vi.advanceTimersByTimeAsync(5_001)
		old.asked.get('a')?.refuse(new Error('NOPERM'))
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[1]?.up()
		await subscribed
		expect(subscriber.channels).toBe(1)
	})

	it('is not refused when what was asked fails just before the end', async () => {
		const { connections, subscriber, errors } = makeSubscriber()
		const subscribed = subscriber.subscribe('a', () => {})
		const [old] = connections
		old?.ready()
		if (old) old.status = 'close'
		old?.asked.get('a')?.refuse(new Error('Connection is closed.'))
		await vi.advanceTimersByTimeAsync(0)
		old?.end()
		await vi.advanceTimersByTimeAsync(PAUSE)
		await connections[1]?.up()
		await subscribed
		expect(errors).toEqual([])
	})
})

import { beforeEach, describe, expect, it, vi } from 'vitest'
import { fakeProbe, makeSubscriber } from './fake-redis.js'

const INTERVAL = 1_000
const TIMEOUT = 5_000
/** When a probe has failed: one more turn is given to read an echo that is here already. */
const OVERDUE = TIMEOUT + 1

beforeEach(() => {
	vi.useFakeTimers()
	return () => void vi.useRealTimers()
})

/** A subscriber that is up with one channel. */
async function up() {
	const probe = fakeProbe(INTERVAL)
	const made = makeSubscriber(probe)
	const subscribed = made.subscriber.subscribe('a', () => {})
	await made.connections[0]?.up()
	return { ...made, probe, undo: await subscribed }
}

describe('the probe of a subscriber', () => {
	it('is sent after each interval, and measured when it comes back', async () => {
		const { connections, subscriber, probe } = await up()
		expect(subscriber.channels).toBe(1)
		await vi.advanceTimersByTimeAsync(INTERVAL - 1)
		expect(probe.sent).toEqual([])
		await vi.advanceTimersByTimeAsync(1)
		expect(probe.sent).toEqual(['1'])
		await vi.advanceTimersByTimeAsync(40)
		connections[0]?.emit('message', 'probe', '1')
		expect(subscriber.probeRoundTripMs).toBe(40)
		await vi.advanceTimersByTimeAsync(INTERVAL)
		expect(probe.sent).toEqual(['1', '2'])
		await vi.advanceTimersByTimeAsync(TIMEOUT - 1)
		connections[0]?.emit('message', 'probe', '2')
		await vi.advanceTimersByTimeAsync(TIMEOUT)
		expect(connections).toHaveLength(1)
		expect(connections[0]?.status).toBe('ready')
	})

	it('that does not come back has the connection replaced', async () => {
		const { connections, calls, errors } = await up()
		await vi.advanceTimersByTimeAsync(INTERVAL + OVERDUE)
		expect(connections[0]?.status).toBe('end')
		expect(calls).toEqual(['lost'])
		expect(errors.map(String)).toEqual([
			`EvUnavailableError: Redis delivered nothing for ${TIMEOUT} ms; connecting again.`,
		])
	})

	it('is not answered by an older token', async () => {
		const { connections, probe } = await up()
		await vi.advanceTimersByTimeAsync(INTERVAL)
		connections[0]?.emit('message', 'probe', '1')
		await vi.advanceTimersByTimeAsync(INTERVAL)
		expect(probe.sent).toEqual(['1', '2'])
		connections[0]?.emit('message', 'probe', '1')
		// It is a sign of life, and no more than that.
		await vi.advanceTimersByTimeAsync(OVERDUE)
		expect(connections[0]?.status).toBe('ready')
		await vi.advanceTimersByTimeAsync(OVERDUE)
		expect(connections[0]?.status).toBe('end')
	})

	it('that comes in the turn after it was overdue still counts, as when the event loop was blocked', async () => {
		const { connections, probe } = await up()
		await vi.advanceTimersByTimeAsync(INTERVAL)
		await vi.advanceTimersByTimeAsync(TIMEOUT)
		connections[0]?.emit('message', 'probe', '1')
		await vi.advanceTimersByTimeAsync(1)
		expect(connections[0]?.status).toBe('ready')
		await vi.advanceTimersByTimeAsync(INTERVAL)
		expect(probe.sent).toEqual(['1', '2'])
	})

	it('is not sent while it could prove nothing, and is when it can', async () => {
		const { probe, connections } = await up()
		probe.isReady = false
		await vi.advanceTimersByTimeAsync(10 * (INTERVAL + TIMEOUT))
		expect(probe.sent).toEqual([])
		expect(connections).toHaveLength(1)
		probe.isReady = true
		await vi.advanceTimersByTimeAsync(INTERVAL)
		expect(probe.sent).toEqual(['1'])
	})

	it('sleeps while nobody listens, and is sent at once with the next first channel', async () => {
		const { subscriber, connections, probe, undo } = await up()
		undo()
		await vi.advanceTimersByTimeAsync(10 * (INTERVAL + TIMEOUT))
		expect(probe.sent).toEqual([])
		expect(vi.getTimerCount()).toBe(0)
		subscriber.subscribe('b', () => {}).catch(() => {})
		expect(probe.sent).toEqual(['1'])
		// One that runs is not sent again with the next channel.
		subscriber.subscribe('c', () => {}).catch(() => {})
		expect(probe.sent).toEqual(['1'])
		await vi.advanceTimersByTimeAsync(OVERDUE)
		expect(connections[0]?.status).toBe('end')
	})

	it('is not looked for on the connection after the one it was sent on', async () => {
		const { connections, calls, probe, subscriber } = await up()
		await vi.advanceTimersByTimeAsync(INTERVAL)
		expect(probe.sent).toEqual(['1'])
		connections[0]?.end()
		await vi.advanceTimersByTimeAsync(100)
		await connections[1]?.up()
		expect(calls).toEqual(['lost', 'restored'])
		// An echo of before says nothing of this connection.
		connections[1]?.emit('message', 'probe', '1')
		expect(subscriber.probeRoundTripMs).toBe(0)
		await vi.advanceTimersByTimeAsync(INTERVAL)
		expect(probe.sent).toEqual(['1', '2'])
		connections[1]?.emit('message', 'probe', '2')
		await vi.advanceTimersByTimeAsync(INTERVAL - 1)
		expect(connections[1]?.status).toBe('ready')
		expect(connections).toHaveLength(2)
	})

	it('is overdue at its time, also if a channel is subscribed while it is on its way', async () => {
		const { connections, subscriber, probe } = await up()
		await vi.advanceTimersByTimeAsync(INTERVAL)
		const subscribed = subscriber.subscribe('b', () => {})
		connections[0]?.asked.get('b')?.confirm()
		await subscribed
		await vi.advanceTimersByTimeAsync(OVERDUE)
		expect(probe.sent).toEqual(['1'])
		expect(connections[0]?.status).toBe('end')
	})

	it('that was given up while nobody listened is not measured when it comes late', async () => {
		const { connections, subscriber, probe, undo } = await up()
		await vi.advanceTimersByTimeAsync(INTERVAL)
		undo()
		probe.isReady = false
		subscriber.subscribe('b', () => {}).catch(() => {})
		await vi.advanceTimersByTimeAsync(10)
		connections[0]?.emit('message', 'probe', '1')
		expect(subscriber.probeRoundTripMs).toBe(0)
		expect(probe.sent).toEqual(['1'])
	})

	it('is not overdue while data arrives, as in a burst behind a slow link, but not for ever', async () => {
		const { connections, probe, calls } = await up()
		await vi.advanceTimersByTimeAsync(INTERVAL)
		const [connection] = connections
		for (let timeouts = 1; timeouts < 15; timeouts++) {
			// Part of a message counts: it may be larger than what the link carries in one timeout.
			if (connection) connection.stream.bytesRead += 1
			await vi.advanceTimersByTimeAsync(OVERDUE)
		}
		expect(connection?.status).toBe('ready')
		expect(probe.sent).toEqual(['1'])
		if (connection) connection.stream.bytesRead += 1
		await vi.advanceTimersByTimeAsync(OVERDUE)
		expect(connection?.status).toBe('end')
		expect(calls).toEqual(['lost'])
	})

	it('that Redis did not take proves nothing: the subscriber is asked on its own connection', async () => {
		const { connections, probe, calls } = await up()
		probe.isTaken = false
		await vi.advanceTimersByTimeAsync(INTERVAL + TIMEOUT / 2)
		expect(connections[0]?.pings).toBe(1)
		// It answers, and is kept; the next probe finds out more.
		if (connections[0]) connections[0].stream.bytesRead += 7
		await vi.advanceTimersByTimeAsync(2 * OVERDUE + INTERVAL)
		expect(connections[0]?.status).toBe('ready')
		expect(probe.sent).toEqual(['1', '2'])
		await vi.advanceTimersByTimeAsync(OVERDUE)
		expect(connections[0]?.pings).toBe(2)
		expect(connections[0]?.status).toBe('end')
		expect(calls).toEqual(['lost'])
	})

	it('that Redis took is no reason to ask the subscriber', async () => {
		const { connections } = await up()
		await vi.advanceTimersByTimeAsync(INTERVAL + OVERDUE)
		expect(connections[0]?.pings).toBe(0)
	})

	it('that is overdue when the subscriber is closed replaces nothing', async () => {
		const { connections, subscriber, errors } = await up()
		await vi.advanceTimersByTimeAsync(INTERVAL)
		await vi.advanceTimersByTimeAsync(TIMEOUT)
		await subscriber.close()
		await vi.advanceTimersByTimeAsync(60_000)
		expect(connections).toHaveLength(1)
		expect(errors).toEqual([])
		expect(vi.getTimerCount()).toBe(0)
	})
})

import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { CommandQueue } from '../src/command-queue.js'

/** As much of a client as a queue uses. */
class FakeClient extends EventEmitter {
	status = 'ready'

	become(status: string): void {
		this.status = status
		if (status === 'ready') this.emit('ready')
	}
}

/** Commands that the test answers, in the order in which they were sent. */
function setUp({ retryReadOnly = false, limit = 10 } = {}) {
	const client = new FakeClient()
	// It offers what the queue calls.
	const queue = new CommandQueue(client as unknown as Redis, retryReadOnly, limit)
	const sent: { name: string; answer: (value: string) => void; fail: (error: Error) => void }[] = []
	const run = (name: string, deadlineMs = 1_000): Promise<string> =>
		queue.run(() => new Promise((answer, fail) => sent.push({ name, answer, fail })), deadlineMs)
	return { client, queue, sent, run, names: () => sent.map(({ name }) => name) }
}

beforeEach(() => {
	vi.useFakeTimers()
	return () => void vi.useRealTimers()
})

describe('CommandQueue', () => {
	it('sends at once while the client is ready, and otherwise in order once it is', async () => {
		const { client, run, sent, names } = setUp()
		void run('a')
		expect(names()).toEqual(['a'])
		client.become('reconnecting')
		void run('b')
		client.status = 'ready'
		// The client is ready in this very tick, but has not told: `b` was first.
		void run('c')
		expect(names()).toEqual(['a'])
		client.emit('ready')
		expect(names()).toEqual(['a', 'b', 'c'])
		client.emit('ready')
		expect(sent).toHaveLength(3)
	})

	it('counts what waits and what was sent until it is settled, and keeps no timer after that', async () => {
		const { client, queue, run, sent } = setUp({ limit: 3 })
		const answered = run('a')
		const failed = run('b')
		client.become('reconnecting')
		const waiting = run('c', 50)
		expect(queue.pending).toBe(3)
		await expect(run('d')).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		sent[0]?.answer('A')
		expect(await answered).toBe('A')
		sent[1]?.fail(new Error('ERR'))
		await expect(failed).rejects.toThrow('ERR')
		expect(queue.pending).toBe(1)
		const late = expect(waiting).rejects.toThrow('Redis could not be reached within 50 ms.')
		await vi.advanceTimersByTimeAsync(50)
		await late
		expect(queue.pending).toBe(0)
		expect(vi.getTimerCount()).toBe(0)
		client.become('ready')
		expect(sent).toHaveLength(2)
		void run('e')
		expect(queue.pending).toBe(1)
	})

	it('says of a command that was sent that it was not answered, and takes its late answer for nothing', async () => {
		const { queue, run, sent } = setUp({ retryReadOnly: true })
		const command = run('a', 50)
		const late = expect(command).rejects.toThrow('Redis did not answer within 50 ms.')
		await vi.advanceTimersByTimeAsync(50)
		await late
		expect(queue.pending).toBe(0)
		// A command whose caller was told that it failed must not be run again.
		sent[0]?.fail(new Error('READONLY You can not write against a read only replica.'))
		await vi.advanceTimersByTimeAsync(0)
		expect(queue.pending).toBe(0)
	})

	it('runs a command again on READONLY if the client reconnects for it, at its old deadline', async () => {
		const { client, run, sent, names } = setUp({ retryReadOnly: true })
		const command = run('a', 100)
		sent[0]?.fail(new Error('READONLY'))
		await vi.advanceTimersByTimeAsync(60)
		client.become('ready')
		expect(names()).toEqual(['a', 'a'])
		const late = expect(command).rejects.toThrow('did not answer within 100 ms')
		await vi.advanceTimersByTimeAsync(40)
		await late
		const other = setUp()
		const refused = other.run('b')
		other.sent[0]?.fail(new Error('READONLY'))
		await expect(refused).rejects.toThrow('READONLY')
	})

	it('tells a lost connection by EV_UNAVAILABLE, and leaves an answer of Redis as it is', async () => {
		const { run, sent } = setUp()
		const lost = ['MaxRetriesPerRequestError', 'AbortError', 'ClusterAllFailedError'].map((name) =>
			Object.assign(new Error('lost'), { name }),
		)
		for (const error of [new Error('Connection is closed.'), ...lost]) {
			const command = run('a')
			sent.at(-1)?.fail(error)
			await expect(command).rejects.toMatchObject({ code: 'EV_UNAVAILABLE', cause: error })
		}
		const command = run('a')
		const error = new Error('WRONGTYPE')
		sent.at(-1)?.fail(error)
		await expect(command).rejects.toBe(error)
	})

	it('refuses at once when the client does not reconnect', async () => {
		const { client, run, queue } = setUp()
		client.status = 'end'
		await expect(run('a')).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		expect(queue.pending).toBe(0)
	})
})

describe('CommandQueue.close', () => {
	it('resolves with the last answer, without waiting out the grace', async () => {
		const { queue, run, sent, client } = setUp()
		const commands = [run('a'), run('b')]
		const closed = vi.fn()
		const closing = queue.close(60_000).then(closed)
		sent[0]?.answer('A')
		await vi.advanceTimersByTimeAsync(0)
		expect(closed).not.toHaveBeenCalled()
		sent[1]?.answer('B')
		await closing
		expect(await Promise.all(commands)).toEqual(['A', 'B'])
		expect(vi.getTimerCount()).toBe(0)
		expect(client.listenerCount('ready')).toBe(0)
	})

	it('resolves with the last command that fails or is overdue too', async () => {
		const { queue, run, sent } = setUp()
		const failing = expect(run('a')).rejects.toThrow('ERR')
		const overdue = expect(run('b', 50)).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		const closing = queue.close(60_000)
		sent[0]?.fail(new Error('ERR'))
		await vi.advanceTimersByTimeAsync(50)
		await closing
		await Promise.all([failing, overdue])
		expect(vi.getTimerCount()).toBe(0)
	})

	it('refuses what waits at once, and what was sent after the grace', async () => {
		const { queue, run, client, sent } = setUp({ retryReadOnly: true })
		const unanswered = expect(run('a')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		client.status = 'reconnecting'
		const waiting = run('b')
		client.status = 'ready'
		const refused = expect(waiting).rejects.toMatchObject({ code: 'EV_CLOSED' })
		const closed = vi.fn()
		const closing = queue.close(200).then(closed)
		await refused
		await vi.advanceTimersByTimeAsync(199)
		expect(closed).not.toHaveBeenCalled()
		await vi.advanceTimersByTimeAsync(1)
		await closing
		await unanswered
		expect(queue.pending).toBe(0)
		expect(vi.getTimerCount()).toBe(0)
		await expect(run('c')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(sent).toHaveLength(1)
	})

	it('does not wait for answers while the client is away, nor runs a command again', async () => {
		const { queue, run, client, sent } = setUp({ retryReadOnly: true })
		const command = expect(run('a')).rejects.toThrow('READONLY')
		const closing = queue.close(60_000)
		sent[0]?.fail(new Error('READONLY'))
		await closing
		await command
		const other = setUp()
		const lost = expect(other.run('b')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		other.client.status = 'reconnecting'
		await other.queue.close(60_000)
		await lost
		expect(client.listenerCount('ready')).toBe(0)
	})
})

import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { Outage } from '../src/outage.js'
import { queueOn } from './queue-on.js'

/** As much of a client as a queue uses. */
class FakeClient extends EventEmitter {
	status = 'ready'

	become(status: string): void {
		this.status = status
		if (status === 'ready') this.emit('ready')
	}
}

/** What is given to read answers that are already there, in ms of the fake clock. */
const TURN = 1

/** Commands that the test answers, in the order in which they were sent. */
function setUp({ retryReadOnly = false, limit = 10 } = {}) {
	const client = new FakeClient()
	// It offers what the queue calls.
	const { queue, lane } = queueOn(client as unknown as Redis, { owned: retryReadOnly, limit })
	const sent: { name: string; answer: (value: string) => void; fail: (error: Error) => void }[] = []
	const run = (name: string, deadlineMs = 1_000): Promise<string> =>
		lane.run(() => new Promise((answer, fail) => sent.push({ name, answer, fail })), deadlineMs)
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
		await vi.advanceTimersByTimeAsync(50 + TURN)
		await late
		expect(queue.pending).toBe(0)
		client.become('ready')
		expect(sent).toHaveLength(2)
		void run('e')
		expect(queue.pending).toBe(1)
		sent[2]?.answer('E')
		// The watch over answers stops by itself when none is due.
		await vi.advanceTimersByTimeAsync(60_000)
		expect(vi.getTimerCount()).toBe(0)
	})

	it('says of a command that was sent that it was not answered, and takes its late answer for nothing', async () => {
		const { queue, run, sent } = setUp({ retryReadOnly: true })
		const command = run('a', 50)
		const late = expect(command).rejects.toThrow('Redis did not answer within 50 ms.')
		await vi.advanceTimersByTimeAsync(50 + TURN)
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
		await vi.advanceTimersByTimeAsync(40 + TURN)
		await late
		const other = setUp()
		const refused = other.run('b')
		other.sent[0]?.fail(new Error('READONLY'))
		await expect(refused).rejects.toThrow('READONLY')
	})

	it('runs again, in order, what a lost connection left without an answer, but not after its deadline', async () => {
		const lost = ['MaxRetriesPerRequestError', 'AbortError', 'ClusterAllFailedError'].map((name) =>
			Object.assign(new Error('lost'), { name }),
		)
		const redirected = new Error('Too many Cluster redirections. Last error: Error: Connection is closed.')
		const unsent = ["Stream isn't writeable", "Cluster isn't ready"].map(
			(what) => new Error(`${what} and enableOfflineQueue options is false`),
		)
		for (const error of [new Error('Connection is closed.'), redirected, ...unsent, ...lost]) {
			const { client, run, sent, names } = setUp()
			const commands = [run('a'), run('b'), run('short', 100)]
			const late = expect(commands[2]).rejects.toThrow('Redis could not be reached within 100 ms.')
			client.status = 'reconnecting'
			// It is called before the client has failed what it had.
			commands.push(run('c'))
			for (const { fail } of [...sent]) fail(error)
			await vi.advanceTimersByTimeAsync(150)
			await late
			client.become('ready')
			expect(names()).toEqual(['a', 'b', 'short', 'a', 'b', 'c'])
			for (const { name, answer } of sent.slice(3)) answer(name)
			expect(await Promise.all([commands[0], commands[1], commands[3]])).toEqual(['a', 'b', 'c'])
		}
	})

	it('runs again at the next connection what the client neither fails nor sends again itself', async () => {
		const { client, run, sent, names } = setUp({ retryReadOnly: true })
		const commands = [run('a'), run('b')]
		client.become('reconnecting')
		client.emit('close')
		void run('c')
		client.become('ready')
		expect(names()).toEqual(['a', 'b', 'a', 'b', 'c'])
		// What becomes of the first attempt does not count any more.
		sent[0]?.fail(new Error('ERR'))
		sent[1]?.answer('of the connection before')
		sent[2]?.answer('A')
		sent[3]?.answer('B')
		expect(await Promise.all(commands)).toEqual(['A', 'B'])
	})

	it('tries again on the same connection if the client stays ready, as a Cluster does', async () => {
		const { run, sent, names } = setUp()
		const command = run('a')
		sent[0]?.fail(Object.assign(new Error('lost'), { name: 'ClusterAllFailedError' }))
		await vi.advanceTimersByTimeAsync(100)
		expect(names()).toEqual(['a'])
		await vi.advanceTimersByTimeAsync(200)
		expect(names()).toEqual(['a', 'a'])
		sent[1]?.answer('A')
		expect(await command).toBe('A')
	})

	it('leaves an answer of Redis as it is', async () => {
		const { run, sent } = setUp()
		const command = run('a')
		const error = new Error('WRONGTYPE')
		sent.at(-1)?.fail(error)
		await expect(command).rejects.toBe(error)
	})

	it('refuses with EV_CLOSED, at once, what was called before and after the client was closed', async () => {
		const { client, run, queue, sent } = setUp()
		const running = expect(run('a')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		client.status = 'reconnecting'
		const waiting = expect(run('b')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		client.status = 'end'
		client.emit('end')
		await waiting
		sent[0]?.fail(new Error('Connection is closed.'))
		await running
		await expect(run('c')).rejects.toThrow('The Redis client is closed.')
		expect(queue.pending).toBe(0)
		expect(vi.getTimerCount()).toBe(0)
	})

	it('reads the answers that are there before it refuses, as after the process was frozen', async () => {
		const { run, sent } = setUp()
		const commands = [run('a', 50), run('b', 50)]
		await vi.advanceTimersByTimeAsync(50)
		for (const { name, answer } of sent) answer(name)
		expect(await Promise.all(commands)).toEqual(['a', 'b'])
	})

	it('starts what waits in slices, one of each lane in turn', async () => {
		const { client, queue, names, run, sent } = setUp({ limit: 2_000 })
		const other = queue.lane(10)
		client.become('reconnecting')
		for (let n = 0; n < 1_000; n++) void run('many')
		void other.run(() => new Promise((answer, fail) => sent.push({ name: 'one', answer, fail })), 1_000)
		client.become('ready')
		expect(names().slice(0, 3)).toEqual(['many', 'one', 'many'])
		expect(sent.length).toBeLessThan(300)
		void run('later')
		await vi.advanceTimersByTimeAsync(10)
		expect(sent).toHaveLength(1_002)
		expect(names().at(-1)).toBe('later')
	})

	it('refuses in one lane only what is over the limit of that lane', async () => {
		const { client, queue, run } = setUp({ limit: 1 })
		client.become('reconnecting')
		void run('a')
		await expect(run('b')).rejects.toThrow('1 commands already wait for an answer of Redis.')
		const other = queue.lane(1)
		void other.run(async () => 'c', 1_000)
		expect([other.pending, queue.pending]).toEqual([1, 2])
	})
})

describe('an outage', () => {
	it('is reported once for each kind of error, whatever names and times the texts have', () => {
		const report = vi.fn()
		const outage = new Outage(report)
		for (const text of [
			'The channel "a" failed after 5 ms.',
			'The channel "b" failed after 5.25 ms.',
			'other',
		])
			outage.report(new Error(text))
		expect(report).toHaveBeenCalledTimes(2)
		outage.over()
		outage.report(new Error('other'))
		expect(report).toHaveBeenCalledTimes(3)
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
		await vi.advanceTimersByTimeAsync(50 + TURN)
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

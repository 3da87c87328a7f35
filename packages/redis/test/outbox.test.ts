import { setTimeout as sleep } from 'node:timers/promises'
import type { LogPosition } from '@evstream/core'
import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Outbox, type Outgoing, type Publisher } from '../src/outbox.js'

const MEGA = 'x'.repeat(1_048_576)

/** A Redis that the test switches on and off, and that numbers what it gets. */
class FakePublisher implements Publisher {
	isReady = true
	/** Batches are answered only by `answer`. */
	held = false
	readonly batches: (readonly Outgoing[])[] = []
	readonly deadlines: number[] = []
	readonly #answers: (() => void)[] = []
	#seq = 0

	/** How often it was asked whether it is ready. */
	looks = 0

	ready(): boolean {
		this.looks++
		return this.isReady
	}

	async publish(batch: readonly Outgoing[], deadlineMs: number): Promise<LogPosition> {
		this.batches.push(batch)
		this.deadlines.push(deadlineMs)
		const first = this.#seq + 1
		this.#seq += batch.length
		if (this.held) await new Promise<void>((resolve) => this.#answers.push(resolve))
		return { epoch: 'e', seq: first }
	}

	answer(): void {
		for (const answer of this.#answers.splice(0)) answer()
	}
}

function setUp(deadline = 1_000) {
	const publisher = new FakePublisher()
	const outbox = new Outbox(publisher, deadline)
	onTestFinished(() => outbox.close(() => {}))
	const send = (payload: string): Promise<LogPosition> => {
		const sent = outbox.send({ channel: 'a', payload, except: '' })
		sent.catch(() => {})
		return sent
	}
	return { publisher, outbox, send }
}

describe('Outbox', () => {
	it('catches up with a queue that waited almost until its deadline', async () => {
		const deadline = 400
		const answer = 100
		let ready = false
		let seq = 0
		const publisher: Publisher = {
			ready: () => ready,
			// A Redis that answers each batch after a while, and a caller that gives up before.
			publish: async (batch, deadlineMs) => {
				const first = seq + 1
				seq += batch.length
				await sleep(Math.min(answer, deadlineMs))
				if (deadlineMs < answer) throw new Error(`no answer within ${deadlineMs} ms`)
				return { epoch: 'e', seq: first }
			},
		}
		const outbox = new Outbox(publisher, deadline)
		const results = Array.from({ length: 500 }, (_, index) =>
			outbox.send({ channel: 'a', payload: String(index), except: '' }),
		)
		await sleep(deadline - answer / 2)
		ready = true
		outbox.wake()
		const settled = await Promise.allSettled(results)
		expect(settled.filter(({ status }) => status === 'rejected')).toEqual([])
	})

	it('tells each message its own position, in the order in which they were sent', async () => {
		const { publisher, send } = setUp()
		const positions = await Promise.all(Array.from({ length: 1_200 }, (_, n) => send(`${n}`)))
		expect(positions.map(({ seq }) => seq)).toEqual(positions.map((_, n) => n + 1))
		expect(publisher.batches.flat().map(({ payload }) => payload)).toEqual(positions.map((_, n) => `${n}`))
		expect(publisher.batches.map(({ length }) => length)).toEqual([512, 512, 176])
	})

	it('lets what comes while a batch has no answer wait for it, or for a moment', async () => {
		vi.useFakeTimers()
		onTestFinished(() => void vi.useRealTimers())
		const { publisher, outbox, send } = setUp()
		publisher.held = true
		const first = send('1')
		await vi.advanceTimersByTimeAsync(0)
		const later = [send('2'), send('3')]
		outbox.wake()
		await vi.advanceTimersByTimeAsync(1)
		expect(publisher.batches).toHaveLength(1)
		expect(outbox.size).toBe(2)
		publisher.answer()
		await vi.advanceTimersByTimeAsync(0)
		expect(publisher.batches.map(({ length }) => length)).toEqual([1, 2])
		void send('4')
		await vi.advanceTimersByTimeAsync(1)
		expect(publisher.batches).toHaveLength(2)
		await vi.advanceTimersByTimeAsync(2)
		expect(publisher.batches.map(({ length }) => length)).toEqual([1, 2, 1])
		publisher.answer()
		expect((await first).seq).toBe(1)
		expect((await Promise.all(later)).map(({ seq }) => seq)).toEqual([2, 3])
	})

	it('sends full batches at once, twice as many with each quick answer, and few to a slow Redis', async () => {
		vi.useFakeTimers()
		onTestFinished(() => void vi.useRealTimers())
		const { publisher, send } = setUp(8_000)
		publisher.held = true
		const sent: Promise<LogPosition>[] = []
		const goOn = async (ms: number): Promise<number> => {
			for (let n = 0; n < 10 * 512; n++) sent.push(send(`${n}`))
			await vi.advanceTimersByTimeAsync(ms)
			publisher.answer()
			const before = publisher.batches.length
			await vi.advanceTimersByTimeAsync(0)
			return publisher.batches.length - before
		}
		expect([await goOn(0), await goOn(10), await goOn(10), await goOn(10)]).toEqual([2, 8, 8, 8])
		// Eight slow answers halve it to one batch.
		expect([await goOn(2_100), await goOn(10)]).toEqual([1, 2])
		expect(publisher.batches.every(({ length }) => length === 512)).toBe(true)
		expect((await Promise.all(sent.slice(0, 20 * 512))).map(({ seq }) => seq)).toEqual(
			Array.from({ length: 20 * 512 }, (_, n) => n + 1),
		)
	})

	it('has no more than 16 batches, and 4 MiB, without an answer', async () => {
		vi.useFakeTimers()
		onTestFinished(() => void vi.useRealTimers())
		const { publisher, outbox, send } = setUp(60_000)
		publisher.held = true
		for (let n = 0; n < 30; n++) {
			void send('x')
			await vi.advanceTimersByTimeAsync(3)
		}
		expect(publisher.batches).toHaveLength(16)
		publisher.answer()
		await vi.advanceTimersByTimeAsync(0)
		publisher.answer()
		await vi.advanceTimersByTimeAsync(0)
		expect(outbox.size).toBe(0)
		publisher.batches.length = 0
		for (let n = 0; n < 10; n++) void send(MEGA)
		await vi.advanceTimersByTimeAsync(10)
		expect(publisher.batches).toHaveLength(4)
		publisher.held = false
		publisher.answer()
		await vi.advanceTimersByTimeAsync(0)
		expect(publisher.batches).toHaveLength(10)
	})

	it('bounds a batch by its characters, and lets a larger message go alone', async () => {
		const { publisher, send } = setUp()
		const half = MEGA.slice(0, MEGA.length / 2)
		await Promise.all([half, half, 'x', `${MEGA}x`, 'x', half].map(send))
		expect(publisher.batches.map((batch) => batch.map(({ payload }) => payload.length))).toEqual([
			[half.length, half.length],
			[1],
			[MEGA.length + 1],
			[1, half.length],
		])
	})

	it('refuses those of a batch that failed, and goes on with the next', async () => {
		const { publisher, send } = setUp()
		const { publish } = publisher
		publisher.publish = () => Promise.reject(new Error('no'))
		const failed = [send('1'), send('2')]
		await Promise.resolve()
		const next = send('3')
		publisher.publish = publish
		for (const one of failed) await expect(one).rejects.toThrow('no')
		expect((await next).seq).toBe(1)
	})
})

describe('An outbox while Redis is away', () => {
	it('holds a bounded number of characters, and takes more once they are gone', async () => {
		const { publisher, outbox, send } = setUp(60_000)
		publisher.isReady = false
		const waiting = Array.from({ length: 64 }, () => send(MEGA))
		await expect(send('x')).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		expect(outbox.size).toBe(64)
		publisher.isReady = true
		outbox.wake()
		await Promise.all(waiting)
		expect(publisher.batches.every(({ length }) => length === 1)).toBe(true)
		// What was sent counts no more, however much it was.
		for (let n = 0; n < 70; n++) await send(MEGA)
		expect(outbox.size).toBe(0)
	})

	it('holds a bounded number of messages', async () => {
		const { publisher, outbox, send } = setUp(60_000)
		publisher.isReady = false
		const waiting = Array.from({ length: 100_000 }, () => send(''))
		await expect(send('x')).rejects.toThrow('100000 messages wait for Redis')
		expect(outbox.size).toBe(100_000)
		publisher.isReady = true
		outbox.wake()
		await Promise.all(waiting)
		expect((await send('x')).seq).toBe(100_001)
	})

	it('refuses each message at its own deadline, without a wake, and then holds nothing of it', async () => {
		vi.useFakeTimers()
		onTestFinished(() => void vi.useRealTimers())
		const { publisher, outbox, send } = setUp(1_000)
		publisher.isReady = false
		const outcomes: string[] = []
		const watch = (name: string, sent: Promise<unknown>): void =>
			void sent.then(
				() => outcomes.push(`${name} sent`),
				({ code }) => outcomes.push(`${name} ${code}`),
			)
		for (let n = 0; n < 64; n++) watch('early', send(MEGA))
		await vi.advanceTimersByTimeAsync(999)
		expect(outcomes).toEqual([])
		await vi.advanceTimersByTimeAsync(2)
		expect(outcomes).toEqual(Array.from({ length: 64 }, () => 'early EV_UNAVAILABLE'))
		outcomes.length = 0
		watch('first', send(MEGA))
		await vi.advanceTimersByTimeAsync(600)
		watch('second', send(MEGA))
		await vi.advanceTimersByTimeAsync(500)
		expect(outcomes).toEqual(['first EV_UNAVAILABLE'])
		publisher.isReady = true
		outbox.wake()
		await vi.advanceTimersByTimeAsync(0)
		expect(outcomes).toEqual(['first EV_UNAVAILABLE', 'second sent'])
		expect(publisher.batches).toHaveLength(1)
		expect(publisher.deadlines).toEqual([500])
		expect(vi.getTimerCount()).toBe(0)
	})

	it('refuses a full queue without holding the event loop', async () => {
		const { publisher, outbox } = setUp(400)
		publisher.isReady = false
		let refused = 0
		let inOneTurn = 0
		let most = 0
		const count = (): void => {
			refused++
			most = Math.max(most, ++inOneTurn)
			if (inOneTurn > 1) return
			setImmediate(() => {
				inOneTurn = 0
			})
		}
		for (let n = 0; n < 100_000; n++) {
			outbox.send({ channel: 'a', payload: '', except: '' }).catch(count)
		}
		await until(() => refused === 100_000)
		expect(most).toBeLessThan(50_000)
		expect(outbox.size).toBe(0)
		publisher.isReady = true
		expect((await outbox.send({ channel: 'a', payload: 'x', except: '' })).seq).toBe(1)
	})

	it('looks once for all that one turn sends, and whenever it is woken', async () => {
		const { publisher, outbox, send } = setUp()
		publisher.isReady = false
		for (let n = 0; n < 100; n++) void send('x')
		await Promise.resolve()
		expect(publisher.looks).toBe(1)
		outbox.wake()
		outbox.wake()
		await Promise.resolve()
		expect(publisher.looks).toBe(2)
	})

	it('keeps no process alive', async () => {
		const timers = vi.spyOn(globalThis, 'setTimeout')
		onTestFinished(() => timers.mockRestore())
		const { publisher, send } = setUp()
		publisher.isReady = false
		void send('x')
		await Promise.resolve()
		expect(timers.mock.results).toHaveLength(1)
		expect(timers.mock.results[0]?.value.hasRef()).toBe(false)
	})

	it('that is closed takes nothing, and sends what waits when Redis is back', async () => {
		const { publisher, outbox, send } = setUp()
		publisher.isReady = false
		const waiting = [send('1'), send('2')]
		const onEmpty = vi.fn()
		outbox.close(onEmpty)
		await expect(send('3')).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(onEmpty).not.toHaveBeenCalled()
		publisher.isReady = true
		outbox.wake()
		expect((await Promise.all(waiting)).map(({ seq }) => seq)).toEqual([1, 2])
		await until(() => onEmpty.mock.calls.length === 1)
	})

	it('that is closed refuses what waits at its deadline, and then keeps no timer', async () => {
		vi.useFakeTimers()
		onTestFinished(() => void vi.useRealTimers())
		const { publisher, outbox, send } = setUp()
		publisher.isReady = false
		const refused = [send('1'), send('2')].map((one) =>
			expect(one).rejects.toMatchObject({ code: 'EV_CLOSED' }),
		)
		const onEmpty = vi.fn()
		outbox.close(onEmpty)
		await vi.advanceTimersByTimeAsync(999)
		expect(onEmpty).not.toHaveBeenCalled()
		await vi.advanceTimersByTimeAsync(2)
		await Promise.all(refused)
		expect(onEmpty).toHaveBeenCalledOnce()
		expect(outbox.size).toBe(0)
		expect(vi.getTimerCount()).toBe(0)
	})

	it('still tells the outcome of a batch that was sent before it was closed', async () => {
		const { publisher, outbox, send } = setUp()
		publisher.held = true
		const sent = send('1')
		await Promise.resolve()
		outbox.close(() => {})
		publisher.answer()
		expect((await sent).seq).toBe(1)
	})
})

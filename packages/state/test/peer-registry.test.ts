import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { after, setUp, turn } from './peer-setup.js'

describe('a registry over a pub/sub', () => {
	it('asks for what it missed at the start, after a reconnect, and now and then', async () => {
		let begin = (): void => {}
		const ready = new Promise<void>((resolve) => {
			begin = resolve
		})
		const { news, restore } = setUp({ ready })
		await turn()
		// Before the subscription is certain an answer would be lost.
		expect(news()).toEqual([])
		begin()
		await turn()
		expect(news()).toMatchObject([{ type: 'sync' }])
		await turn()
		expect(news()).toEqual([])
		restore()
		await turn()
		expect(news()).toMatchObject([{ type: 'sync' }])
		const failed = setUp({ ready: Promise.reject(new Error('no subscription')) })
		await turn()
		expect(failed.news()).toMatchObject([{ type: 'sync' }])
		const often = setUp({ checkInterval: 5 })
		await vi.waitUntil(() => often.sent.length >= 3)
	})

	it('tells what differs to an instance that knows something else, and nothing to one that knows the same', async () => {
		const { create, remove, news, answer, receive } = setUp()
		await turn()
		create('a', '{"n":1}')
		create('b')
		remove('b')
		expect(news().slice(1)).toMatchObject([
			{ type: 'create', channel: 'a', initial: { n: 1 } },
			{ type: 'create', channel: 'b' },
			{ type: 'remove', channel: 'b' },
		])
		receive({ type: 'sync', digest: 'another' })
		const states = await answer()
		expect(states.states).toMatchObject([
			{ channel: 'a', present: true, initial: { n: 1 } },
			{ channel: 'b', present: false },
		])
		// Another instance that got them asks with the same digest, whatever the order it heard them in.
		const other = setUp()
		await turn()
		other.receive({ ...states, states: states.states.toReversed() })
		other.news()
		other.restore()
		await turn()
		const [question, ...more] = other.news()
		expect(more).toEqual([])
		if (question?.type !== 'sync') throw new Error('no question')
		expect(question.digest).toBe(states.digest)
		receive(question)
		create('c')
		expect(news()).toMatchObject([{ type: 'create', channel: 'c' }])
		receive(question)
		// Only the part of the one that it does not know.
		expect((await answer()).states).toMatchObject([{ channel: 'c' }])
	})

	it('replies to an answer if it knows of something more or later, and that ends it', async () => {
		const { create, news, answer, receive } = setUp()
		await turn()
		create('a')
		const [, made] = news()
		if (made?.type !== 'create') throw new Error('no message')
		const { type: _, ...record } = made
		const same = { present: true, ...record }
		const other = setUp()
		other.receive({ type: 'states', states: [same] })
		other.restore()
		await turn()
		const question = other.news().at(-1)
		if (question?.type !== 'sync') throw new Error('no question')
		receive({ type: 'states', states: [same], digest: question.digest })
		await turn()
		expect(news()).toEqual([])
		receive({ type: 'states', states: [{ ...same, time: Number(made.time) - 1 }], digest: '' })
		expect(await answer()).toMatchObject({ states: [{ channel: 'a' }], digest: question.digest, reply: true })
		receive({ type: 'states', states: [], digest: '', reply: true })
		// A page that is not the last one says nothing of what its sender knows.
		receive({ type: 'states', states: [] })
		await turn()
		expect(news()).toEqual([])
	})

	it('leaves the answer to another instance that was faster', async () => {
		const { create, receive, answer, news } = setUp()
		await turn()
		create('a')
		receive({ type: 'sync', digest: 'x' })
		const given = await answer()
		news()
		receive({ type: 'sync', digest: 'x' })
		receive(given)
		await new Promise((resolve) => setTimeout(resolve, 250))
		expect(news()).toEqual([])
	})

	it('tells much in pages of bounded size, however many states there are', async () => {
		const { receive, news, sent, answer } = setUp()
		await turn()
		const states = Array.from({ length: 3_000 }, (_, n) => ({
			channel: `s${n}`,
			present: true,
			initial: 'x'.repeat(200),
			...after(n),
		}))
		receive({ type: 'states', states })
		news()
		receive({ type: 'sync', digest: '' })
		await vi.waitUntil(() =>
			sent.some((message) => message.type === 'states' && message.digest !== undefined),
		)
		expect(sent.length).toBeGreaterThan(5)
		for (const page of sent) expect(JSON.stringify(page).length).toBeLessThan(70_000)
		expect(new Set((await answer()).states.map(({ channel }) => channel)).size).toBe(3_000)
	})

	it('remembers thousands of removals in no time', () => {
		const { receive } = setUp()
		const states = Array.from({ length: 20_000 }, (_, n) => ({
			channel: `r${n}`,
			present: false,
			...after(n),
		}))
		const begun = performance.now()
		receive({ type: 'states', states })
		// It was quadratic: minutes.
		expect(performance.now() - begun).toBeLessThan(5_000)
	})

	it('tells everything once it works again after a message could not be sent', async () => {
		const { create, news, at, answer } = setUp()
		await turn()
		news()
		at.fails = true
		create('a')
		await turn()
		expect(news()).toEqual([])
		at.fails = false
		expect((await answer()).states).toMatchObject([{ channel: 'a' }])
		await turn()
		expect(news()).toEqual([])
	})

	it('asks again when a question could not be sent', async () => {
		const { news, at, restore } = setUp()
		await turn()
		news()
		at.fails = true
		restore()
		await turn()
		at.fails = false
		await vi.waitUntil(() => news().some(({ type }) => type === 'sync'))
	})
})

describe('a record of a clock more than a day ahead', () => {
	const wrong = (by: string) => ({ time: Date.now() + 90_000_000, by })

	it('is left out, and what comes with it counts', () => {
		const { receive, local } = setUp()
		const states = [
			{ channel: 'bad', present: true, initial: 1, ...wrong('w') },
			{ channel: 'good', present: true, initial: 2, ...after(1) },
		]
		receive({ type: 'states', states })
		expect(local.follow.mock.calls).toEqual([['good', '2']])
	})

	it('is reported once for each instance, until a message of that instance is right', () => {
		const { receive, onError } = setUp()
		for (let n = 0; n < 5; n++) {
			const states = ['v', 'w'].map((by) => ({ channel: `s${n}`, present: true, initial: 1, ...wrong(by) }))
			receive({ type: 'states', states: [...states, { channel: 'old', present: true, ...after(n, 'w') }] })
			receive({ type: 'create', channel: 'c', initial: 1, ...wrong('w') })
		}
		expect(onError.mock.calls.map(([error]) => String(error))).toEqual(
			['v', 'w'].map((by) => expect.stringMatching(`"${by}" about a state is more than a day ahead`)),
		)
		receive({ type: 'create', channel: 'd', initial: 1, ...after(1, 'w') })
		receive({ type: 'create', channel: 'c', initial: 1, ...wrong('w') })
		receive({ type: 'create', channel: 'c', initial: 1, ...wrong('v') })
		expect(onError).toHaveBeenCalledTimes(3)
		for (let n = 0; n < 1_000; n++) receive({ type: 'remove', channel: 'c', ...wrong(`i${n}`) })
		expect(onError).toHaveBeenCalledTimes(101)
	})
})

describe('a closed registry over a pub/sub', () => {
	it('hears, asks and answers nothing, and has let go of the pub/sub', async () => {
		const { registry, receive, restore, hasRestored, isHandler, news, local, onError } = setUp({
			checkInterval: 5,
		})
		await turn()
		const handled = receive
		registry.close()
		news()
		expect(hasRestored()).toBe(false)
		expect(isHandler()).toBe(false)
		handled({ type: 'create', channel: 'a', initial: 1, ...after(5) })
		handled({ type: 'sync' })
		restore()
		const start = performance.now()
		await vi.waitUntil(() => performance.now() - start > 40)
		expect(news()).toEqual([])
		expect(local.follow).not.toHaveBeenCalled()
		expect(onError).not.toHaveBeenCalled()
	})

	it('while it waits to tell what could not be sent tells it no more', async () => {
		const { registry, create, at, news } = setUp()
		await turn()
		at.fails = true
		create('a')
		await turn()
		registry.close()
		at.fails = false
		news()
		const start = performance.now()
		await vi.waitUntil(() => performance.now() - start > 80)
		expect(news()).toEqual([])
	})

	it('takes nothing from a pub/sub that became ready only then, nor a message on its way', async () => {
		let begin = (): void => {}
		const ready = new Promise<void>((resolve) => {
			begin = resolve
		})
		const { registry, news } = setUp({ ready })
		registry.close()
		begin()
		await turn()
		expect(news()).toEqual([])
	})

	it('has no timer left', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
		onTestFinished(() => void vi.useRealTimers())
		const { registry, create, at } = setUp({ checkInterval: 1_000 })
		await turn()
		at.fails = true
		create('a')
		await turn()
		// The check, and the pause after the failure.
		expect(vi.getTimerCount()).toBe(2)
		registry.close()
		expect(vi.getTimerCount()).toBe(0)
	})
})

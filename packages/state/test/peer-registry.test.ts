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

	it('tells everything to who knows something else, and nothing to who knows the same', async () => {
		const { create, remove, news, receive } = setUp()
		await turn()
		create('a', '{"n":1}')
		create('b')
		remove('b')
		const told = news()
		expect(told.slice(1)).toMatchObject([
			{ type: 'create', channel: 'a', initial: { n: 1 } },
			{ type: 'create', channel: 'b' },
			{ type: 'remove', channel: 'b' },
		])
		receive({ type: 'sync', digest: 'another' })
		await turn()
		const [states] = news()
		expect(states).toMatchObject({
			type: 'states',
			states: [
				{ channel: 'a', present: true, initial: { n: 1 } },
				{ channel: 'b', present: false },
			],
		})
		// Another instance that got them asks with the same digest, whatever the order it heard them in.
		const other = setUp()
		await turn()
		if (states?.type === 'states') other.receive({ ...states, states: states.states.toReversed() })
		other.news()
		other.restore()
		await turn()
		const [question] = other.news()
		receive(question)
		await turn()
		expect(news()).toEqual([])
		create('c')
		news()
		receive(question)
		await turn()
		expect(news()).toMatchObject([{ type: 'states' }])
	})

	it('answers an answer only if it knows of something more or later', async () => {
		const { create, news, receive } = setUp()
		await turn()
		create('a')
		const [, made] = news()
		if (made?.type !== 'create') throw new Error('no message')
		const { type: _, ...record } = made
		const same = { present: true, ...record }
		receive({ type: 'states', states: [same] })
		await turn()
		expect(news()).toEqual([])
		receive({ type: 'states', states: [{ ...same, time: Number(made.time) - 1 }] })
		await turn()
		expect(news()).toMatchObject([{ type: 'states' }])
		receive({ type: 'states', states: [] })
		await turn()
		expect(news()).toMatchObject([{ type: 'states' }])
	})

	it('tells everything once it works again after a message could not be sent', async () => {
		const { create, news, at, onError } = setUp()
		await turn()
		news()
		at.fails = true
		create('a')
		await turn()
		expect(news()).toEqual([])
		at.fails = false
		await vi.waitUntil(() => news().some(({ type }) => type === 'states'))
		expect(onError).toHaveBeenCalledTimes(1)
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

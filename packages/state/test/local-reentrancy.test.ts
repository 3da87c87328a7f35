import { describe, expect, it, vi } from 'vitest'
import { EvState } from '../src/index.js'
import { FakeManager } from './support.js'

function make<T>(initialValue: T) {
	const manager = new FakeManager()
	const onError = vi.fn()
	const state = new EvState<T>({ channel: 's', initialValue, manager, onError })
	return { state, manager, onError }
}

describe('a state of one process that is changed from within', () => {
	it('rejects what waits when the running change, or a subscriber, closes it', async () => {
		for (const where of ['change', 'subscriber']) {
			const { state, manager } = make(0)
			let inner: Promise<number> | undefined
			const closing = (): void => {
				inner = state.set(() => 100)
				state.close()
			}
			if (where === 'subscriber') state.subscribe(closing)
			const outer = state.set((value) => {
				if (where === 'change') closing()
				return value + 1
			})
			await expect(inner).rejects.toMatchObject({ code: 'EV_CLOSED' })
			// A change that closes its own state is not applied; one that a subscriber saw was.
			if (where === 'change') await expect(outer).rejects.toMatchObject({ code: 'EV_CLOSED' })
			else expect(await outer).toBe(1)
			expect(state.get()).toBe(where === 'change' ? 0 : 1)
			expect(JSON.stringify(manager.sent)).not.toContain('100')
		}
	})

	it('does not hide an inner change that fails, and goes on with the next', async () => {
		const { state, onError } = make<number>(0)
		const error = new Error('inner')
		let inner: Promise<number>[] = []
		await state.set((value) => {
			inner = [
				state.set(() => {
					throw error
				}),
				state.set((now) => now + 10),
			]
			return value + 1
		})
		await expect(inner[0]).rejects.toBe(error)
		expect(await inner[1]).toBe(11)
		expect(onError).toHaveBeenCalledExactlyOnceWith(error)
		expect(state.get()).toBe(11)
	})

	it('runs inner changes of an outer one that throws, and is free again after it', async () => {
		const { state } = make<number>(0)
		let inner: Promise<number> | undefined
		const outer = state.set(() => {
			inner = state.set((value) => value + 1)
			throw new Error('outer')
		})
		await expect(outer).rejects.toThrow('outer')
		expect(await inner).toBe(1)
		expect(state.get()).toBe(1)
		expect(await state.set((value) => value + 1)).toBe(2)
		expect(state.get()).toBe(2)
	})

	it('does one at a time, also those that inner ones ask for', () => {
		const { state } = make<string[]>([])
		const running: string[] = []
		const change =
			(name: string, more: () => void = () => {}) =>
			(list: string[]): string[] => {
				running.push(name)
				expect(running).toEqual([name])
				more()
				running.pop()
				return [...list, name]
			}
		state.set(
			change('a', () => {
				state.set(change('b', () => void state.set(change('d'))))
				state.set(change('c'))
			}),
		)
		expect(state.get()).toEqual(['a', 'b', 'c', 'd'])
	})

	it('refuses an asynchronous function without running it', async () => {
		const { state } = make<unknown>(0)
		const run = vi.fn(async () => 1)
		const called = vi.fn()
		await expect(
			state.set(async () => {
				called()
				return run()
			}),
		).rejects.toBeInstanceOf(TypeError)
		expect(called).not.toHaveBeenCalled()
		// @ts-expect-error not a function
		await expect(state.set(5)).rejects.toThrow('set takes a function, not number.')
	})

	it('is not changed through the object it began with, nor through one that a change returned', async () => {
		const initial = { list: [1] }
		const { state, manager } = make(initial)
		initial.list.push(9)
		expect(state.get()).toEqual({ list: [1] })
		const returned = { list: [2] }
		const result = await state.set(() => returned)
		returned.list.push(9)
		result.list.push(9)
		await state.set(({ list }) => ({ list: [...list, 3] }))
		expect(state.get()).toEqual({ list: [2, 3] })
		expect(manager.snapshot('s')).toEqual({ event: 's', data: { value: { list: [2, 3] } } })
	})

	it('sends nothing after a change closed it', async () => {
		const { state, manager } = make(0)
		const sent = vi.fn()
		state.subscribe(sent)
		const changed = state.set((value) => {
			state.close()
			return value + 1
		})
		await expect(changed).rejects.toMatchObject({ code: 'EV_CLOSED' })
		expect(manager.sent).toEqual([])
		expect(sent).not.toHaveBeenCalled()
	})
})

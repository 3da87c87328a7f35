import { describe, expect, it, vi } from 'vitest'
import { Change } from '../src/change.js'
import { copyStrict } from '../src/copy.js'
import { Fold, type FoldRules } from '../src/fold.js'

interface List {
	items: number[]
}

const push =
	(item: number) =>
	(list: List): List => {
		list.items.push(item)
		return list
	}

function setUp(runs: readonly ((list: List) => List)[], measured = false) {
	const rules: FoldRules<List> = {
		copy: copyStrict,
		equals: (a, b) => a.items.join() === b.items.join(),
		measure: vi.fn((list: List) => {
			if (list.items.length > 2) throw new Error('too large')
		}),
	}
	const changes = runs.map((run) => new Change(run, 0))
	const outcomes = changes.map(({ promise }) =>
		promise.then(
			(value) => value,
			(error: unknown) => error,
		),
	)
	const base: List = { items: [] }
	return { rules, changes, outcomes, base, fold: new Fold(rules, base, changes, measured) }
}

describe('Fold', () => {
	it('runs each change once, on its own copy of what the one before made', async () => {
		const run = vi.fn(push(1))
		const { fold, base, outcomes } = setUp([run, push(2)])
		expect(fold.head()).toEqual({ items: [1, 2] })
		expect(fold.head()).toBe(fold.head())
		expect(run).toHaveBeenCalledTimes(1)
		expect(base).toEqual({ items: [] })
		const shown: List = { items: [1, 2] }
		fold.settle(() => shown, vi.fn())
		expect(await Promise.all(outcomes)).toEqual([{ items: [1] }, { items: [1, 2] }])
	})

	it('gives out the shown copy in place of its head, which so stays untouched', async () => {
		const { fold, outcomes } = setUp([push(1), (list) => list, push(2), (list) => ({ ...list })])
		const head = fold.head()
		const shown: List = { items: [1, 2] }
		fold.settle(() => shown, vi.fn())
		const [first, same, last, equal] = await Promise.all(outcomes)
		expect([first, same]).toEqual([{ items: [1] }, { items: [1] }])
		expect(last).toBe(shown)
		expect(equal).toBe(shown)
		expect([first, same, last, equal]).not.toContain(head)
	})

	it('keeps what a change returned apart from what the change kept of it', () => {
		const kept: List = { items: [1] }
		const { fold } = setUp([() => kept])
		const head = fold.head()
		kept.items.push(9)
		expect(head).toEqual({ items: [1] })
	})

	it('keeps the very base when nothing changes, also by a change that throws', () => {
		const { fold, base } = setUp([
			(list) => ({ items: [...list.items] }),
			(list) => {
				list.items.push(9)
				throw new Error('no')
			},
		])
		expect(fold.head()).toBe(base)
	})

	it('rejects with what a change threw, whatever that is, and reports it once', async () => {
		const { fold, outcomes, changes } = setUp([
			() => {
				throw undefined
			},
			push(1),
		])
		fold.head()
		const onError = vi.fn()
		fold.settle(() => ({ items: [1] }), onError)
		fold.settle(() => ({ items: [1] }), onError)
		expect(await Promise.all(outcomes)).toEqual([undefined, { items: [1] }])
		await expect(changes[0]?.promise).rejects.toBeUndefined()
		expect(onError).toHaveBeenCalledExactlyOnceWith(undefined)
	})

	it('reports nothing of a change that was decided before, as at its deadline', async () => {
		const { fold, changes, outcomes } = setUp([
			() => {
				throw new Error('own')
			},
		])
		fold.head()
		changes[0]?.reject(new Error('deadline'))
		const onError = vi.fn()
		fold.settle(() => ({ items: [] }), onError)
		expect(onError).not.toHaveBeenCalled()
		expect(String(await outcomes[0])).toBe('Error: deadline')
	})

	it('measures each new value if told so, and rejects the one change that is too much', async () => {
		const runs = [push(1), (list: List) => list, (list: List) => push(3)(push(2)(list)), push(4)]
		const plain = setUp(runs)
		expect(plain.fold.head()).toEqual({ items: [1, 2, 3, 4] })
		expect(plain.rules.measure).not.toHaveBeenCalled()
		const measured = setUp(runs, true)
		expect(measured.fold.head()).toEqual({ items: [1, 4] })
		expect(measured.rules.measure).toHaveBeenCalledTimes(3)
		measured.fold.settle(() => ({ items: [1, 4] }), vi.fn())
		expect((await Promise.all(measured.outcomes)).map(String)[2]).toBe('Error: too large')
	})

	it('refuses a promise', async () => {
		const { fold, outcomes, base } = setUp([
			// @ts-expect-error a promise is not a value
			() => Promise.resolve({ items: [1] }),
		])
		expect(fold.head()).toBe(base)
		fold.settle(() => base, vi.fn())
		expect(await outcomes[0]).toBeInstanceOf(TypeError)
	})

	it('applies the same changes to another base, and later ones too', () => {
		const { fold, changes } = setUp([push(1)])
		fold.head()
		const other = fold.on({ items: [7] })
		expect(other.head()).toEqual({ items: [7, 1] })
		changes.push(new Change(push(2), 0))
		expect(other.head()).toEqual({ items: [7, 1, 2] })
	})
})

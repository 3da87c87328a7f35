import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { PageCache } from '../src/page-cache.js'
import { Timers } from '../src/timers.js'

const MIB = 1_048_576

describe('the page cache', () => {
	beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
	afterEach(() => void vi.useRealTimers())

	it('counts a page once, however often it is set', () => {
		const cache = new PageCache<string>(new Timers())
		cache.set('a', 'old', 100, 1_000)
		cache.set('a', 'new', 30, 1_000)
		expect(cache).toMatchObject({ bytes: 30, size: 1 })
		expect(cache.get('a')).toBe('new')
	})

	it('keeps 64 pages, and drops the oldest one for another', () => {
		const cache = new PageCache<number>(new Timers())
		for (let n = 0; n < 65; n++) cache.set(String(n), n, 1, 1_000)
		expect(cache).toMatchObject({ bytes: 64, size: 64 })
		expect(cache.get('0')).toBeUndefined()
		expect(cache.get('1')).toBe(1)
	})

	it('keeps 16 MiB, or one page that is larger', () => {
		const cache = new PageCache<string>(new Timers())
		cache.set('a', 'a', 8 * MIB, 1_000)
		cache.set('b', 'b', 8 * MIB, 1_000)
		expect(cache.size).toBe(2)
		cache.set('c', 'c', 1, 1_000)
		expect(cache).toMatchObject({ bytes: 8 * MIB + 1, size: 2 })
		cache.set('large', 'large', 20 * MIB, 1_000)
		expect(cache).toMatchObject({ bytes: 20 * MIB, size: 1 })
		expect(cache.get('large')).toBe('large')
	})

	it('is empty a second after its first page, although others came later', () => {
		const timers = new Timers()
		const cache = new PageCache<string>(timers)
		cache.set('a', 'a', 1, 1_000)
		vi.advanceTimersByTime(900)
		cache.set('b', 'b', 1, 1_000)
		expect(cache.get('a')).toBe('a')
		vi.advanceTimersByTime(100)
		expect(cache).toMatchObject({ bytes: 0, size: 0 })
		expect(timers.size).toBe(0)
	})

	it('gives no page for longer than it may be used', () => {
		const cache = new PageCache<string>(new Timers())
		cache.set('a', 'a', 1, 50)
		vi.advanceTimersByTime(49)
		expect(cache.get('a')).toBe('a')
		vi.advanceTimersByTime(1)
		expect(cache.get('a')).toBeUndefined()
	})
})

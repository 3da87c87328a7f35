import type { EvMessage } from '@evstream/core'
import { describe, expect, it, vi } from 'vitest'
import { Outlet } from '../src/outlet.js'
import { settings } from '../src/settings.js'
import type { EvStateSettings } from '../src/types.js'

function setUp(options: EvStateSettings = {}) {
	const sent: EvMessage[] = []
	const closed = vi.fn()
	const broadcast = vi.fn((message: EvMessage) => void sent.push(message))
	const onError = vi.fn()
	const host = { provide: () => ({ broadcast, close: closed }) }
	const outlet = new Outlet<unknown>(host, 's', settings({ ...options, onError }))
	return { outlet, sent, closed, broadcast, onError }
}

describe('Outlet', () => {
	it('holds values of up to maxSize bytes, whatever characters they have', () => {
		const { outlet } = setUp({ maxSize: 20 })
		for (const fits of ['1'.repeat(18), 'é'.repeat(9), '€'.repeat(6), '😀'.repeat(4)]) {
			expect(outlet.encode(fits)).toBe(`"${fits}"`)
		}
		for (const large of ['1'.repeat(19), `${'é'.repeat(9)}1`, '€'.repeat(7), '😀'.repeat(5)]) {
			expect(() => outlet.encode(large)).toThrow(expect.objectContaining({ code: 'EV_INVALID_MESSAGE' }))
		}
	})

	it('sends nothing before there is a value, and an empty object for undefined', () => {
		const { outlet, sent } = setUp({ key: 'n' })
		outlet.broadcast()
		expect(sent).toEqual([])
		outlet.prepare(outlet.encode(undefined))
		outlet.broadcast()
		outlet.prepare(outlet.encode(1))
		outlet.broadcast()
		expect(sent).toEqual([
			{ event: 's', data: '{}' },
			{ event: 's', data: '{"n":1}' },
		])
	})

	it('reports a broadcast that throws', () => {
		const { outlet, broadcast, onError } = setUp()
		const error = new Error('closed')
		broadcast.mockImplementation(() => {
			throw error
		})
		outlet.prepare('1')
		outlet.broadcast()
		expect(onError).toHaveBeenCalledExactlyOnceWith(error)
	})

	it('calls a function once for each time it was subscribed', () => {
		const { outlet } = setUp()
		const listener = vi.fn()
		const [undo] = [outlet.subscribe(listener), outlet.subscribe(listener)]
		outlet.notify(() => 5, 2)
		expect(listener.mock.calls).toEqual([
			[5, 2],
			[5, 2],
		])
		undo()
		outlet.notify(() => 6, 3)
		expect(listener).toHaveBeenCalledTimes(3)
		// @ts-expect-error not a function
		expect(() => outlet.subscribe('listener')).toThrow(TypeError)
	})

	it('does not call who was unsubscribed by one before, nor who subscribed meanwhile', () => {
		const { outlet } = setUp()
		const calls: string[] = []
		outlet.subscribe(() => {
			calls.push('first')
			undo()
			outlet.subscribe(() => calls.push('late'))
		})
		const undo = outlet.subscribe(() => calls.push('undone'))
		outlet.notify(() => 1, 1)
		expect(calls).toEqual(['first'])
		outlet.notify(() => 2, 2)
		expect(calls).toEqual(['first', 'first', 'late'])
	})

	it('makes no copy for nobody', () => {
		const { outlet } = setUp()
		const value = vi.fn()
		outlet.notify(value, 1)
		expect(value).not.toHaveBeenCalled()
	})

	it('is silent once it is closed, which it is once', () => {
		const { outlet, sent, closed, onError } = setUp()
		const listener = vi.fn()
		outlet.subscribe(listener)
		outlet.prepare('1')
		outlet.close()
		outlet.close()
		expect(closed).toHaveBeenCalledTimes(1)
		outlet.subscribe(listener)
		outlet.broadcast()
		outlet.notify(() => 1, 1)
		expect(sent).toEqual([])
		expect(listener).not.toHaveBeenCalled()
		expect(onError).not.toHaveBeenCalled()
	})
})

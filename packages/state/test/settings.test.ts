import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { settings } from '../src/settings.js'

describe('settings', () => {
	it('has the defaults that the documentation says', () => {
		expect(settings({})).toMatchObject({
			key: 'value',
			snapshot: true,
			maxSize: 262_144,
			maxPending: 100_000,
			deadline: 30_000,
			checkInterval: 30_000,
		})
		expect(settings({ checkInterval: false }).checkInterval).toBe(false)
	})

	it.each([
		['maxSize', 1, Number.MAX_SAFE_INTEGER],
		['maxPending', 1, Number.MAX_SAFE_INTEGER],
		['deadline', 1, 600_000],
		['checkInterval', 1, 86_400_000],
	] as const)('takes %s from %d to %d', (name, least, most) => {
		for (const value of [least, most]) expect(settings({ [name]: value })[name]).toBe(value)
		for (const value of [least - 0.5, 0, -1, most * 1.01, Number.NaN, Number.POSITIVE_INFINITY]) {
			expect(() => settings({ [name]: value })).toThrow(RangeError)
		}
		expect(() => settings({ [name]: '5' })).toThrow(TypeError)
	})

	it('refuses options of a wrong type', () => {
		// @ts-expect-error a wrong type
		expect(() => settings({ key: 1 })).toThrow(TypeError)
		// @ts-expect-error a wrong type
		expect(() => settings({ snapshot: 'no' })).toThrow(TypeError)
		// @ts-expect-error a wrong type
		expect(() => settings({ onError: 'log' })).toThrow(TypeError)
	})

	it('has an onError that never throws, and warns by default', () => {
		const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
		onTestFinished(() => warn.mockRestore())
		const thrown = new Error('onError')
		const { onError } = settings({
			onError: () => {
				throw thrown
			},
		})
		expect(() => onError(new Error('first'))).not.toThrow()
		expect(warn).toHaveBeenLastCalledWith(thrown)
		settings({}).onError('text')
		expect(warn).toHaveBeenLastCalledWith('text')
	})
})

/**
 * What is sent. Every payload carries a mark, `~ev~<number>~<time>~`, that the load client finds without parsing:
 * the number says whether anything was lost, doubled or reordered, the time how long it took. `~` occurs nowhere
 * else, and no JSON encoder escapes it.
 */
import { now } from './clock.js'

/** @import { Payload, RunPlan } from './types.js' */

export const MARK = '~ev~'
/** Numbers start again after so many. */
export const CYCLE = 1000
export const NUMBER_AT = MARK.length
export const TIME_AT = NUMBER_AT + 4
/** Length of a whole mark. */
export const MARK_LENGTH = TIME_AT + 17

const FIXED_DATE = '2025-01-01T00:00:00.000Z'

/**
 * @param {number} number
 * @param {number} time
 */
function mark(number, time) {
	return `${MARK}${String(number).padStart(3, '0')}~${String(Math.round(time)).padStart(16, '0')}~`
}

/**
 * @param {number} number
 * @param {number} bytes
 * @returns {object}
 */
function object(number, bytes) {
	const value = {
		mark: mark(number, 0),
		id: 100_000 + number,
		createdAt: FIXED_DATE,
		author: { id: 7, name: 'Ada Lovelace', roles: ['editor', 'admin'], active: true },
		items: Array.from({ length: 6 }, (_, i) => ({ sku: `sku-${i}`, price: 9.5 + i, quantity: i + 1 })),
		tags: ['alpha', 'beta', 'gamma'],
		parent: null,
		text: '',
	}
	value.text = 'lorem ipsum '.repeat(bytes).slice(0, Math.max(0, bytes - JSON.stringify(value).length))
	return value
}

/**
 * The messages of a run, one after the other. They are made before the clock starts, except for those that carry
 * the time.
 *
 * @param {Pick<RunPlan, 'kind' | 'bytes' | 'timed'>} plan
 * @returns {() => Payload}
 */
export function messages({ kind, bytes, timed = false }) {
	const padding = 'x'.repeat(Math.max(0, bytes - MARK_LENGTH))
	let next = 0
	if (timed) {
		return () => {
			const text = mark(next, now()) + padding
			next = (next + 1) % CYCLE
			return text
		}
	}
	/** @type {Payload[]} */
	const ring = Array.from({ length: CYCLE }, (_, number) =>
		kind === 'object' ? object(number, bytes) : Buffer.from(mark(number, 0) + padding).toString('latin1'),
	)
	return () => {
		const message = /** @type {Payload} */ (ring[next])
		next = (next + 1) % CYCLE
		return message
	}
}

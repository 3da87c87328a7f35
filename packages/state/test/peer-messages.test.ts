import { describe, expect, it } from 'vitest'
import { peerMessage } from '../src/peer-messages.js'

const stamp = { time: 5, by: 'x' }
const record = { channel: 's', present: true, initial: [1], ...stamp }

describe('a message between instances', () => {
	it('is taken as it is, without what does not belong to it', () => {
		const more = { more: 1 }
		for (const message of [
			{ type: 'create', channel: 's', initial: 1, ...stamp },
			{ type: 'create', channel: 's', initial: undefined },
			{ type: 'remove', channel: 's', ...stamp },
			{ type: 'remove', channel: 's' },
			{ type: 'sync', digest: '' },
			{ type: 'states', states: [] },
			{ type: 'states', states: [record, { channel: 't', present: false, ...stamp }] },
		]) {
			expect(peerMessage({ ...message, ...more })).toStrictEqual(message)
		}
		expect(peerMessage({ type: 'states', states: [{ ...record, present: false }] })).toStrictEqual({
			type: 'states',
			states: [{ channel: 's', present: false, ...stamp }],
		})
	})

	it('that is of somebody else is none', () => {
		for (const message of [null, undefined, 5, 'create', {}, { type: 'chat', channel: 's' }, []]) {
			expect(peerMessage(message)).toBeUndefined()
		}
	})

	const badStamps = [
		{ time: 1.5, by: 'x' },
		{ time: '5', by: 'x' },
		{ time: Number.NaN, by: 'x' },
		{ time: 5 },
		{ time: 5, by: 1 },
		{ time: Date.now() + 90_000_000, by: 'x' },
	]

	it('is malformed if a part of it is not what it should be', () => {
		for (const type of ['create', 'remove']) {
			for (const channel of ['', 5, undefined])
				expect(peerMessage({ type, channel, ...stamp })).toBe('malformed')
			for (const bad of badStamps) expect(peerMessage({ type, channel: 's', ...bad })).toBe('malformed')
		}
		expect(peerMessage({ type: 'sync', digest: 5 })).toBe('malformed')
		expect(peerMessage({ type: 'states', states: { 0: record } })).toBe('malformed')
		const badRecords: unknown[] = [
			null,
			{ ...record, channel: '' },
			{ ...record, channel: 5 },
			{ ...record, present: 1 },
			...badStamps.map((bad) => ({ channel: 's', present: true, ...bad })),
			{ channel: 's', present: true },
		]
		for (const bad of badRecords) {
			expect(peerMessage({ type: 'states', states: [record, bad] })).toBe('malformed')
		}
	})

	it('may come from a clock that is up to a day ahead', () => {
		const message = { type: 'remove', channel: 's', time: Date.now() + 80_000_000, by: 'x' }
		expect(peerMessage(message)).toStrictEqual(message)
	})
})

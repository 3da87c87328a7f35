import { describe, expect, it, vi } from 'vitest'
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
			{ type: 'sync', digest: '', floor: stamp },
			{ type: 'states', states: [] },
			{ type: 'states', states: [], digest: '', floor: stamp, reply: false },
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
	]

	it('is malformed if a part of it is not what it should be', () => {
		for (const type of ['create', 'remove']) {
			for (const channel of ['', 5, undefined])
				expect(peerMessage({ type, channel, ...stamp })).toBe('malformed')
			for (const bad of badStamps) expect(peerMessage({ type, channel: 's', ...bad })).toBe('malformed')
		}
		expect(peerMessage({ type: 'sync', digest: 5 })).toBe('malformed')
		expect(peerMessage({ type: 'states', states: { 0: record } })).toBe('malformed')
	})

	it('loses only the records of a page that are not what they should be', () => {
		const badRecords: unknown[] = [
			null,
			{ ...record, channel: '' },
			{ ...record, channel: 5 },
			{ ...record, present: 1 },
			...badStamps.map((bad) => ({ channel: 's', present: true, ...bad })),
			{ channel: 's', present: true },
		]
		for (const bad of badRecords) {
			const refuse = vi.fn()
			const taken = { type: 'states', states: [record] }
			expect(peerMessage({ type: 'states', states: [bad, record] }, refuse)).toStrictEqual(taken)
			const by = bad === null ? undefined : Reflect.get(Object(bad), 'by')
			const refused = { reason: 'malformed', by: typeof by === 'string' ? by : '' }
			expect(refuse.mock.calls).toEqual([[refused]])
		}
	})

	it('may come from a clock that is up to a day ahead, and no further', () => {
		const ahead = { time: Date.now() + 80_000_000, by: 'x' }
		const message = { type: 'remove', channel: 's', ...ahead }
		expect(peerMessage(message)).toStrictEqual(message)
		const wrong = { time: Date.now() + 90_000_000, by: 'wrong' }
		const refuse = vi.fn()
		expect(peerMessage({ type: 'remove', channel: 's', ...wrong }, refuse)).toBeUndefined()
		const page = { type: 'states', states: [{ ...record, ...wrong }, record], digest: '', floor: wrong }
		expect(peerMessage(page, refuse)).toStrictEqual({
			type: 'states',
			states: [record],
			digest: '',
			reply: false,
		})
		expect(refuse.mock.calls).toEqual(Array(2).fill([{ reason: 'ahead', by: 'wrong' }]))
	})

	it('has a floor that counts only if it is a stamp', () => {
		for (const floor of [null, 5, {}, ...badStamps]) {
			expect(peerMessage({ type: 'sync', digest: '', floor })).toStrictEqual({ type: 'sync', digest: '' })
		}
	})
})

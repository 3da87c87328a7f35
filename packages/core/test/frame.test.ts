import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { encodeComment, encodeFields, encodeMessage, Frame, withId } from '../src/frame.js'
import { EvInvalidMessageError, type EvMessage, Evstream } from '../src/index.js'
import { parse } from './support/parse.js'
import { fc, messages, mustBeRefused } from './support/random.js'
import { serve, thrownBy, visit } from './support/visit.js'

/** The bytes of the frame, and what a client dispatches. `null`: it is refused. */
type Row = [what: string, message: EvMessage, bytes: string | null]

const rows: Row[] = [
	['LF in data', { data: 'a\nb' }, 'data:a\ndata:b\n\n'],
	['CR in data', { data: 'a\rb' }, 'data:a\ndata:b\n\n'],
	['CR LF in data', { data: 'a\r\nb' }, 'data:a\ndata:b\n\n'],
	['a frame that data would smuggle in', { data: 'a\r\n\r\nevent: x' }, 'data:a\ndata:\ndata:event: x\n\n'],
	['a trailing LF', { data: 'a\n' }, 'data:a\ndata:\n\n'],
	['a blank line inside', { data: 'a\n\nb' }, 'data:a\ndata:\ndata:b\n\n'],
	['the empty string', { data: '' }, 'data:\n\n'],
	['a leading space', { data: ' a' }, 'data:  a\n\n'],
	['LF in event', { event: 'a\nb', data: '' }, null],
	['CR in event', { event: 'a\rb', data: '' }, null],
	['LF in id', { id: 'a\nb', data: '' }, null],
	['NUL in id', { id: 'a\0b', data: '' }, null],
	['an empty id, which resets the client’s', { id: '', data: 'a' }, 'id:\ndata:a\n\n'],
	['retry 0', { retry: 0, data: 'a' }, 'retry:0\ndata:a\n\n'],
	['retry 1.5', { retry: 1.5, data: 'a' }, null],
]

describe('the sixteen framing inputs', () => {
	it.each(rows)('%s', (_what, message, bytes) => {
		if (bytes === null) {
			expect(() => encodeMessage(message)).toThrow(EvInvalidMessageError)
			return
		}
		expect(encodeMessage(message)).toBe(bytes)
		const { events, retries, errors } = parse(bytes)
		expect(events).toEqual([
			{ event: message.event, id: message.id, data: String(message.data).replace(/\r\n?/g, '\n') },
		])
		expect(retries).toEqual(message.retry === undefined ? [] : [message.retry])
		expect(errors).toEqual([])
	})

	it('a comment of two lines', () => {
		expect(encodeComment('a\nb')).toBe(':a\n:b\n\n')
		expect(parse(encodeComment('a\r\ndata: x'))).toMatchObject({ events: [], comments: ['a', 'data: x'] })
	})
})

describe('a frame', () => {
	it('has its fields in the order event, id, retry, data', () => {
		expect(encodeMessage({ data: 'd', retry: 5, id: 'i', event: 'e' })).toBe(
			'event:e\nid:i\nretry:5\ndata:d\n\n',
		)
	})

	it('keeps a leading space of every field by a second one', () => {
		const text = encodeMessage({ event: ' e', id: '  i', data: ' a\n\n  b\nc' })
		expect(text).toBe('event:  e\nid:   i\ndata:  a\ndata:\ndata:   b\ndata:c\n\n')
		expect(parse(text).events).toEqual([{ event: ' e', id: '  i', data: ' a\n\n  b\nc' }])
	})

	it('does not name the empty event, which is "message"', () => {
		expect(encodeMessage({ event: '', data: 'a' })).toBe('data:a\n\n')
	})

	it('takes an id after the event, also when data looks like one', () => {
		expect(withId(encodeFields({ data: 'event:x' }), '7')).toBe('id:7\ndata:event:x\n\n')
		expect(withId(encodeFields({ event: 'e', retry: 1, data: '' }), '7')).toBe(
			'event:e\nid:7\nretry:1\ndata:\n\n',
		)
	})

	it.each([
		[{ userId: 'a' }, '{"userId":"a"}'],
		[{ text: 'a\nb' }, '{"text":"a\\nb"}'],
		[null, 'null'],
		[0, '0'],
		[false, 'false'],
		[-0, '0'],
		[[1, null], '[1,null]'],
		[new Date(0), '"1970-01-01T00:00:00.000Z"'],
		[{ a: undefined, lone: '\ud800' }, '{"lone":"\\ud800"}'],
	])('carries %j as JSON on one line', (data, json) => {
		expect(encodeMessage({ data })).toBe(`data:${json}\n\n`)
	})

	it('is the same bytes plain and as a chunk', () => {
		const frame = new Frame('data:é\n\n')
		expect(frame.plain.toString()).toBe('data:é\n\n')
		expect(frame.chunk.toString()).toBe('9\r\ndata:é\n\n\r\n')
		expect(frame.length).toBe(9)
		const joined = new Frame([frame, frame])
		expect(joined.chunk.toString()).toBe('12\r\ndata:é\n\ndata:é\n\n\r\n')
		expect(joined.length).toBe(18)
	})
})

const cycle: Record<string, unknown> = {}
cycle.self = cycle

const refused: [what: string, message: unknown][] = [
	['undefined data', { data: undefined }],
	['no data', {}],
	['a function', { data: () => {} }],
	['a symbol', { data: Symbol('a') }],
	['a cycle', { data: cycle }],
	['a BigInt', { data: 1n }],
	['a BigInt inside', { data: { a: [1n] } }],
	[
		'a toJSON that throws',
		{
			data: {
				toJSON() {
					throw new Error('no')
				},
			},
		},
	],
	['a toJSON that gives nothing', { data: { toJSON: () => undefined } }],
	['a lone high surrogate in data', { data: 'a\ud800' }],
	['a lone low surrogate in data', { data: '\udc00a' }],
	['a lone surrogate in event', { event: '\ud800', data: '' }],
	['a lone surrogate in id', { id: '\ud800', data: '' }],
	['CR LF in event', { event: 'a\r\nb', data: '' }],
	['CR in id', { id: 'a\r', data: '' }],
	['a negative retry', { retry: -1, data: '' }],
	['an infinite retry', { retry: Number.POSITIVE_INFINITY, data: '' }],
	['a retry that is not a number', { retry: Number.NaN, data: '' }],
	['a retry beyond exact integers', { retry: 1e21, data: '' }],
	['a retry as a string', { retry: '5', data: '' }],
	['an event that is a number', { event: 5, data: '' }],
	['an event that is null', { event: null, data: '' }],
	['an id that is a number', { id: 5, data: '' }],
	['an id that is null', { id: null, data: '' }],
	['a string in place of a message', 'a'],
	['null in place of a message', null],
	['undefined in place of a message', undefined],
	['a symbol in place of a message', Symbol('a')],
]

describe('a message that a client could not get back', () => {
	it.each(refused)('is refused: %s', (_what, message) => {
		const error = thrownBy(() => encodeMessage(message as EvMessage))
		expect(error).toBeInstanceOf(EvInvalidMessageError)
		expect(error).toMatchObject({ name: 'EvInvalidMessageError', code: 'EV_INVALID_MESSAGE' })
	})

	it('leaves nothing on the wire, and the stream goes on', async () => {
		const codes: unknown[] = []
		const server = await serve((req, res) => {
			const stream = new Evstream(req, res)
			for (const [, message] of refused) {
				const error = thrownBy(() => stream.message(message as EvMessage))
				codes.push(error instanceof EvInvalidMessageError && error.code)
			}
			stream.message({ data: 'after' })
		})
		const client = await visit(server)
		await client.next()
		await until(() => client.raw.endsWith('\n\n'))
		expect(client.raw).toBe('data:after\n\n')
		expect(new Set(codes)).toEqual(new Set(['EV_INVALID_MESSAGE']))
	})
})

describe('random messages', () => {
	it('come back from a conforming parser as they were sent, or are refused', () => {
		let accepted = 0
		let turnedAway = 0
		fc.assert(
			fc.property(messages, fc.array(fc.nat(200), { maxLength: 5 }), (message, cuts) => {
				const error = thrownBy(() => encodeMessage(message))
				expect(error !== undefined).toBe(mustBeRefused(message))
				if (error !== undefined) {
					expect(error).toMatchObject({ code: 'EV_INVALID_MESSAGE' })
					turnedAway++
					return
				}
				accepted++
				const { event, id, retry, data } = message
				const text = new Frame(encodeMessage(message)).plain.toString('utf8')
				const after = encodeMessage({ data: 'after' })
				const parsed = parse(
					text + after,
					cuts.toSorted((a, b) => a - b),
				)
				const json = typeof data === 'string' ? data.replace(/\r\n?/g, '\n') : JSON.stringify(data)
				expect(parsed).toEqual({
					events: [
						{ event: event || undefined, id, data: json },
						{ event: undefined, id: undefined, data: 'after' },
					],
					comments: [],
					retries: retry === undefined ? [] : [retry + 0],
					errors: [],
				})
			}),
			{ numRuns: 10_000 },
		)
		expect(accepted).toBeGreaterThan(4_000)
		expect(turnedAway).toBeGreaterThan(1_000)
	}, 60_000)
})

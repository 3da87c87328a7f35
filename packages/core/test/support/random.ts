import fc from 'fast-check'
import type { EvMessage } from '../../src/index.js'

/** Parts that framing must not trip over. */
const part = fc.oneof(
	{
		weight: 3,
		arbitrary: fc.constantFrom(
			'\r',
			'\n',
			'\r\n',
			'\n\n',
			' ',
			':',
			'\0',
			'\ufeff',
			'data:',
			'id: ',
			'\u2028',
		),
	},
	{ weight: 3, arbitrary: fc.string({ maxLength: 6 }) },
	{ weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 4 }) },
	{
		weight: 1,
		arbitrary: fc.constantFrom('\ud83d\ude00', '\ud83d\ude00', 'é', '\u0085', '\ud800', '\udfff'),
	},
)

const text = fc.array(part, { maxLength: 6 }).map((parts) => parts.join(''))
/** Mostly without what is refused, so that most messages are accepted. */
const line = fc.oneof(
	{ weight: 4, arbitrary: text.map((value) => value.replace(/[\r\n\0]/g, '').toWellFormed()) },
	{ weight: 1, arbitrary: text },
)

/** Messages of every kind, most of them valid. */
export const messages: fc.Arbitrary<EvMessage> = fc.record(
	{
		event: line,
		id: line,
		retry: fc.oneof(
			{ weight: 5, arbitrary: fc.nat() },
			{ weight: 1, arbitrary: fc.maxSafeInteger() },
			{ weight: 1, arbitrary: fc.double() },
		),
		data: fc.oneof(
			{ weight: 3, arbitrary: text },
			{ weight: 1, arbitrary: fc.string({ unit: 'grapheme' }) },
			{ weight: 2, arbitrary: fc.jsonValue({ stringUnit: 'binary' }) },
			{ weight: 1, arbitrary: fc.dictionary(text, text) },
		),
	},
	{ requiredKeys: ['data'] },
)

/** The rule of the wire, written once more. */
export function mustBeRefused({ event = '', id = '', retry = 0, data }: EvMessage): boolean {
	return (
		/[\r\n]/.test(event) ||
		/[\r\n\0]/.test(id) ||
		!Number.isSafeInteger(retry) ||
		retry < 0 ||
		[event, id, data].some((value) => typeof value === 'string' && !value.isWellFormed())
	)
}

export { fc }

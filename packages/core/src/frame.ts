import { EvInvalidMessageError } from './errors.js'
import { encodeJson } from './json.js'
import type { EvMessage } from './types.js'

/**
 * The wire format.
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */

const LINE_END = /\r\n|\n|\r/

/**
 * The bytes of one or more events, framed once and written to every listener. `chunk` is the same bytes as one
 * chunk of HTTP/1.1 chunked coding; both are views on one allocation.
 */
export class Frame {
	readonly chunk: Buffer
	/** Where the event's bytes begin in `chunk`. */
	readonly #start: number
	#plain: Buffer | undefined

	constructor(content: string | readonly Frame[]) {
		let length = 0
		if (typeof content === 'string') length = Buffer.byteLength(content)
		else for (const frame of content) length += frame.length
		const head = `${length.toString(16)}\r\n`
		const chunk = Buffer.allocUnsafe(head.length + length + 2)
		let at = chunk.write(head, 0, 'latin1')
		this.#start = at
		if (typeof content === 'string') at += chunk.write(content, at, 'utf8')
		else for (const frame of content) at += frame.plain.copy(chunk, at)
		chunk.write('\r\n', at, 'latin1')
		this.chunk = chunk
	}

	/** The bytes without chunked coding. */
	get plain(): Buffer {
		this.#plain ??= this.chunk.subarray(this.#start, this.chunk.length - 2)
		return this.#plain
	}

	/** The number of bytes without chunked coding. */
	get length(): number {
		return this.chunk.length - this.#start - 2
	}
}

/**
 * Encodes everything of a message but its id: what the log keeps and what {@link withId} completes.
 *
 * @throws {@link EvInvalidMessageError} `EV_INVALID_MESSAGE` if a client could not get the message back unchanged.
 */
export function encodeFields(message: EvMessage): string {
	if (typeof message !== 'object' || message === null) {
		throw new EvInvalidMessageError(
			`A message must be an object with data, not ${message === null ? 'null' : typeof message}.`,
		)
	}
	const { event, retry } = message
	const data = encodeData(message.data)
	let text = ''
	if (event !== undefined) {
		checkLine('event', event)
		// An empty type means "message", which is what no field at all means.
		if (event !== '') text = `event:${guard(event)}\n`
	}
	if (retry !== undefined) {
		if (!Number.isSafeInteger(retry) || retry < 0) {
			throw new EvInvalidMessageError(
				`retry must be a non-negative integer of milliseconds, not ${typeof retry === 'number' ? retry : typeof retry}.`,
			)
		}
		text += `retry:${retry}\n`
	}
	return text + data
}

/**
 * Checks an id and puts it into encoded fields: `event`, `id`, `retry`, `data` is the order on the wire.
 *
 * @throws {@link EvInvalidMessageError} `EV_INVALID_MESSAGE` if the id has a line end or NUL in it.
 */
export function withId(fields: string, id: string): string {
	checkLine('id', id)
	// A parser ignores an id with NUL in it, so the client would keep the one before.
	if (id.includes('\0'))
		throw new EvInvalidMessageError('id contains NUL, and a client would ignore the whole id. Remove it.')
	const at = fields.startsWith('event:') ? fields.indexOf('\n') + 1 : 0
	return `${fields.slice(0, at)}id:${guard(id)}\n${fields.slice(at)}`
}

/** Encodes a message with the id it brings itself. Throws as {@link encodeFields} and {@link withId} do. */
export function encodeMessage(message: EvMessage): string {
	const fields = encodeFields(message)
	return message.id === undefined ? fields : withId(fields, message.id)
}

/** A comment: bytes that keep a connection alive and that no client dispatches. */
export function encodeComment(text: string): string {
	return `${text
		.split(LINE_END)
		.map((line) => `:${line}\n`)
		.join('')}\n`
}

function encodeData(data: unknown): string {
	if (typeof data === 'string') {
		checkWellFormed('data', data)
		if (!data.includes('\n') && !data.includes('\r')) return `data:${guard(data)}\n\n`
		let text = ''
		for (const line of data.split(LINE_END)) text += `data:${guard(line)}\n`
		return `${text}\n`
	}
	const json = encodeJson(data)
	if (json === undefined) {
		throw new EvInvalidMessageError(
			'data is undefined, which JSON has no form for. Send null or an empty string.',
		)
	}
	return `data:${json}\n\n`
}

function checkLine(field: string, value: unknown): asserts value is string {
	if (typeof value !== 'string') {
		throw new EvInvalidMessageError(`${field} must be a string, not ${typeof value}.`)
	}
	if (value.includes('\n') || value.includes('\r')) {
		throw new EvInvalidMessageError(
			`${field} must be one line: a line end would begin another field. Remove it, or put the text into data.`,
		)
	}
	checkWellFormed(field, value)
}

function checkWellFormed(field: string, value: string): void {
	if (!value.isWellFormed()) {
		throw new EvInvalidMessageError(
			`${field} has a lone surrogate, which UTF-8 cannot carry. Repair it with toWellFormed().`,
		)
	}
}

/** A parser removes one space after the colon, so a value that begins with one is given another. */
function guard(value: string): string {
	return value.startsWith(' ') ? ` ${value}` : value
}

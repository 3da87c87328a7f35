/** A small strict reader of event stream responses: whether a contender says what it was told to say. */
import { isDeepStrictEqual } from 'node:util'

/**
 * @typedef {object} Head
 * @property {number} status
 * @property {string} type The `Content-Type`.
 */

/**
 * @param {Buffer} bytes All that a connection got.
 * @param {unknown} expected The data of the one event.
 * @param {Head} [head] Without it the head is at the beginning of the bytes, as of HTTP/1.1.
 * @returns {string | undefined} What is wrong, or `undefined`.
 */
export function fault(bytes, expected, head) {
	const response = head === undefined ? http1(bytes) : { ...head, text: bytes.toString() }
	if (typeof response === 'string') return response
	const { status, type, text } = response
	if (status !== 200) return `status ${status}`
	if (!type.startsWith('text/event-stream')) return 'not an event stream'
	const events = parse(text)
	if (events.length !== 1) return `${events.length} events in place of 1`
	const data = /** @type {string} */ (events[0])
	return data === expected || isDeepStrictEqual(fromJson(data), expected) ? undefined : `wrong data: ${data}`
}

/**
 * @param {Buffer} bytes
 * @returns {Head & { text: string } | string} What is wrong, if it is no response of HTTP/1.1.
 */
function http1(bytes) {
	const headEnd = bytes.indexOf('\r\n\r\n')
	if (headEnd === -1) return 'no response head'
	const head = bytes.toString('latin1', 0, headEnd).toLowerCase()
	if (!head.startsWith('http/1.1 ')) return `not HTTP/1.1: ${head.split('\r\n', 1)[0]}`
	const body = bytes.subarray(headEnd + 4)
	const text = /\r\ntransfer-encoding: *chunked/.test(head) ? dechunk(body) : body.toString()
	if (text === undefined) return 'incomplete or broken chunks'
	const type = /\r\ncontent-type: *([^\r]*)/.exec(head)?.[1] ?? ''
	return { status: Number(head.slice(9, 12)), type, text }
}

/**
 * @param {Buffer} body
 * @returns {string | undefined} `undefined` if it is not a sequence of whole chunks.
 */
function dechunk(body) {
	const parts = []
	let at = 0
	while (at < body.length) {
		const lineEnd = body.indexOf('\r\n', at)
		if (lineEnd === -1) return undefined
		const size = Number.parseInt(body.toString('latin1', at, lineEnd), 16)
		const from = lineEnd + 2
		const to = from + size
		if (!(size > 0) || body.toString('latin1', to, to + 2) !== '\r\n') return undefined
		parts.push(body.subarray(from, to))
		at = to + 2
	}
	return Buffer.concat(parts).toString()
}

/**
 * @param {string} text
 * @returns {string[]} The data of each event that has any.
 */
function parse(text) {
	const events = []
	/** @type {string[]} */
	let data = []
	for (const line of text.split(/\r\n|\r|\n/)) {
		if (line === '') {
			if (data.length > 0) events.push(data.join('\n'))
			data = []
		} else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''))
	}
	return events
}

/** @param {string} text */
function fromJson(text) {
	try {
		return JSON.parse(text)
	} catch {
		return undefined
	}
}

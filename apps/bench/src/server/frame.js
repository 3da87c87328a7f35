/** Frames for the contenders that have no library to make them. */

/** @import { Payload } from '../types.js' */

/**
 * @param {Payload} data
 * @returns {string}
 */
export function text(data) {
	return typeof data === 'string' ? data : JSON.stringify(data)
}

/** @param {Payload} data */
export function frame(data) {
	return `data:${text(data)}\n\n`
}

/**
 * @param {Buffer} bytes
 * @returns {Buffer} The same as one chunk of a chunked body.
 */
export function chunk(bytes) {
	return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}

/** HTTP/2 clients without TLS (h2c, with prior knowledge): some sessions, many streams in each. */
import { connect } from 'node:http2'

/** @import { ClientHttp2Session } from 'node:http2' */
/** @import { Open } from './clients.js' */

/** What a browser or a proxy opens at most in one session, and what a server must allow at least by RFC 9113. */
const PER_SESSION = 100
/** Bytes that may be under way in a session: so many that no contender ever waits for the window. */
const WINDOW = 16 * 1024 * 1024

/**
 * @param {number} port
 * @returns {Open}
 */
export function http2(port) {
	/** @type {ClientHttp2Session[]} */
	const sessions = []
	/** @param {number} number */
	const session = (number) => {
		sessions[number] ??= connect(`http://127.0.0.1:${port}`, (opened) => opened.setLocalWindowSize(WINDOW))
		return sessions[number]
	}
	return (connection, index) =>
		new Promise((resolve, reject) => {
			const stream = session(Math.floor(index / PER_SESSION)).request({ accept: 'text/event-stream' })
			stream.on('response', (headers) => {
				connection.begin({ status: headers[':status'] ?? 0, type: headers['content-type'] ?? '' })
				resolve()
			})
			stream.on('data', (bytes) => {
				connection.arrive()
				if (!connection.take(bytes)) stream.pause()
			})
			stream.on('error', reject)
			stream.on('close', () => {
				connection.ended = true
				reject(new Error('the server ended a stream before its head'))
			})
		})
}

/** HTTP/1.1 clients by hand, on plain sockets or on TLS. */
import { connect } from 'node:net'
import { connect as connectSecure } from 'node:tls'

/** @import { Open } from './clients.js' */
/** @import { Connection } from './connection.js' */

const REQUEST = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n'
/** Connections from one loopback address; a system has about 16,000 to 28,000 ports for them. */
const PER_ADDRESS = 12_000

/** Every plain socket reads into this one: what is in it is used up before the next read. */
const shared = Buffer.allocUnsafe(256 * 1024)

/**
 * @param {number} port
 * @returns {Open}
 */
export function http(port) {
	return (connection, index) => {
		const address = 1 + Math.floor(index / PER_ADDRESS)
		return begun(connection, (take) =>
			connect({
				host: '127.0.0.1',
				port,
				...(address > 1 ? { localAddress: `127.0.0.${address}` } : {}),
				onread: { buffer: shared, callback: (length) => take(shared.subarray(0, length)) },
			}),
		)
	}
}

/**
 * @param {number} port
 * @returns {Open}
 */
export function https(port) {
	return (connection) =>
		begun(connection, (take) => {
			const socket = connectSecure({ host: '127.0.0.1', port, rejectUnauthorized: false })
			return socket.on('data', (bytes) => {
				if (!take(bytes)) socket.pause()
			})
		})
}

/**
 * @param {Connection} connection
 * @param {(take: (bytes: Buffer) => boolean) => import('node:net').Socket} open `take` returns whether to go on reading.
 * @returns {Promise<void>}
 */
function begun(connection, open) {
	return new Promise((resolve, reject) => {
		const socket = open((bytes) => {
			connection.arrive()
			const goOn = connection.take(bytes)
			if (connection.hasHead) resolve()
			return goOn
		})
		socket.on('error', reject)
		socket.on('close', () => {
			connection.ended = true
			reject(new Error('the server ended a connection before its head'))
		})
		socket.write(REQUEST)
	})
}

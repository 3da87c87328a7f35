/** What the contenders on plain `node:http` share. */
import { createServer } from 'node:http'

/** @type {import('../types.js').Listen} */
export function listen(handler) {
	return listening(createServer(handler))
}

/**
 * @param {import('node:http').Server} server
 * @returns {Promise<{ port: number, close(): Promise<void> }>}
 */
export async function listening(server) {
	return { port: await bound(server), close: () => closed(server) }
}

/**
 * @param {import('node:net').Server} server
 * @returns {Promise<number>} The port.
 */
export async function bound(server) {
	await new Promise((resolve) =>
		server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, () => resolve(null)),
	)
	return portOf(server)
}

/**
 * @param {import('node:net').Server} server
 * @returns {number}
 */
export function portOf(server) {
	return /** @type {import('node:net').AddressInfo} */ (server.address()).port
}

/**
 * @param {import('node:http').Server} server
 * @returns {Promise<void>}
 */
export function closed(server) {
	return new Promise((resolve) => {
		server.close(() => resolve())
		server.closeAllConnections()
	})
}

/** The response head of the baselines, on HTTP/2 and web responses. */
export const PLAIN_HEAD = {
	'Content-Type': 'text/event-stream',
	'Cache-Control': 'no-cache, no-transform',
	'X-Accel-Buffering': 'no',
}

/** The same on HTTP/1.1. */
export const HEAD = { ...PLAIN_HEAD, Connection: 'keep-alive' }

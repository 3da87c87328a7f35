/** What the contenders on plain `node:http` share. */
import { createServer } from 'node:http'

/**
 * @param {import('node:http').RequestListener} handler
 * @returns {Promise<{ port: number, close(): Promise<void> }>}
 */
export async function listen(handler) {
	const server = createServer(handler)
	await new Promise((resolve) =>
		server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, () => resolve(null)),
	)
	return { port: portOf(server), close: () => closed(server) }
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

/** The response head of the baselines. */
export const HEAD = {
	'Content-Type': 'text/event-stream',
	'Cache-Control': 'no-cache, no-transform',
	'X-Accel-Buffering': 'no',
	Connection: 'keep-alive',
}

/** The transports that a contender on `node:http` can be put on: each begins to listen and hands over requests. */
import { readFileSync } from 'node:fs'
import { createServer as createHttp2 } from 'node:http2'
import { createServer as createHttps } from 'node:https'
import { bound, listen, listening } from './listen.js'

/** @import { Http2ServerRequest, Http2ServerResponse } from 'node:http2' */
/** @import { Listen } from '../types.js' */

/** @param {string} name */
const fixture = (name) => readFileSync(new URL(`../../../testkit/fixtures/${name}`, import.meta.url))

/** @type {Listen} */
function https(handler) {
	return listening(createHttps({ key: fixture('localhost.key'), cert: fixture('localhost.crt') }, handler))
}

/**
 * Without TLS (h2c): what is compared is HTTP/2, not the cipher.
 *
 * @param {(req: Http2ServerRequest, res: Http2ServerResponse) => void} handler
 */
export async function http2(handler) {
	const server = createHttp2(handler)
	/** @type {Set<import('node:http2').ServerHttp2Session>} */
	const sessions = new Set()
	server.on('session', (session) => {
		sessions.add(session)
		session.on('close', () => sessions.delete(session))
	})
	const port = await bound(server)
	/** @returns {Promise<void>} */
	const close = () =>
		new Promise((resolve) => {
			server.close(() => resolve())
			for (const session of sessions) session.destroy()
		})
	return { port, close }
}

/** @type {Readonly<Record<string, Listen>>} */
export const transports = {
	http: listen,
	https,
	// The compatibility API hands over what looks like a request and a response of HTTP/1.1.
	http2: /** @type {Listen} */ (/** @type {unknown} */ (http2)),
}

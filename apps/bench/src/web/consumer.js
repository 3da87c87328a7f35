/** Reads web responses as the adapter of a framework does: a reader for each, in a loop. */

/** @import { Open } from '../load/clients.js' */
/** @import { Connection } from '../load/connection.js' */

/**
 * @param {(request: Request) => Response} fetch
 * @returns {Open}
 */
export function openWith(fetch) {
	return async (connection) => {
		const { status, headers, body } = fetch(
			new Request('http://127.0.0.1/', { headers: { accept: 'text/event-stream' } }),
		)
		if (body === null) throw new Error('a response without a body')
		connection.begin({ status, type: headers.get('content-type') ?? '' })
		void consume(body.getReader(), connection)
	}
}

/**
 * @param {ReadableStreamDefaultReader<Uint8Array>} reader
 * @param {Connection} connection
 */
async function consume(reader, connection) {
	try {
		for (;;) {
			const { done, value } = await reader.read()
			if (done) return
			connection.arrive()
			connection.take(value)
		}
	} finally {
		connection.ended = true
	}
}

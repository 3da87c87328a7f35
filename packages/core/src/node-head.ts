import { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { type Answer, CONTENT_TYPE, HEAD } from './transport.js'

/** As it was before anybody could replace it on one response. */
const nativeWriteHead = ServerResponse.prototype.writeHead

/**
 * The headers of a stream that the app did not set itself. By `writeHead`: a response keeps what `setHeader` was given
 * for as long as it lives, which costs more than all of a stream's own state. No `Connection`: Node sends the one that
 * fits the request, and says for how long it keeps the connection; HTTP/2 forbids it.
 */
export function headOf(res: ServerResponse | Http2ServerResponse): Readonly<Record<string, string>> {
	const set = res.getHeaderNames()
	if (set.length === 0) {
		// A plugin that wraps `writeHead` may add to it what is for this client only.
		return res.writeHead === nativeWriteHead ? HEAD : { ...HEAD }
	}
	return Object.fromEntries(
		Object.entries(HEAD).filter(([name]) => name === 'Content-Type' || !set.includes(name.toLowerCase())),
	)
}

/** Answers on a Node response in place of a stream. */
export function answerOn(res: ServerResponse | Http2ServerResponse, { status, headers, body }: Answer): void {
	if (!res.headersSent) {
		res.statusCode = status
		if (body !== undefined) res.setHeader('Content-Type', CONTENT_TYPE)
		for (const [name, value] of Object.entries(headers)) {
			// The app may have set a challenge of its own.
			if (name !== 'WWW-Authenticate' || !res.hasHeader(name)) res.setHeader(name, value)
		}
	}
	if (body === undefined) res.end()
	else res.end(body.plain)
}

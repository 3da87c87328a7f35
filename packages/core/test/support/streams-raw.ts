import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createParser } from 'eventsource-parser'
import { onTestFinished } from 'vitest'

/** A TCP client that keeps each byte as it came. */
export interface RawClient {
	readonly socket: Socket
	/** Everything so far, as latin1: one character is one byte. */
	readonly text: string
	/** Resolves when the connection is over. */
	readonly closed: Promise<void>
}

/** Connects to the port, sends the text and keeps what comes back. */
export async function openRaw(port: number, text: string): Promise<RawClient> {
	const socket = connect(port, '127.0.0.1')
	onTestFinished(() => void socket.destroy())
	socket.on('error', () => {})
	let received = ''
	socket.setEncoding('latin1')
	socket.on('data', (part: string) => {
		received += part
	})
	const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
	await once(socket, 'connect')
	socket.write(text)
	return {
		socket,
		get text() {
			return received
		},
		closed,
	}
}

/** An HTTP/1.1 response with chunked coding, read strictly. */
export interface RawResponse {
	readonly head: string
	readonly chunks: readonly string[]
	readonly body: string
	/** The last chunk has come. */
	readonly complete: boolean
	/** What follows the response. */
	readonly rest: string
}

/**
 * Reads a chunked response as RFC 9112 §7.1 writes it, without any leniency. What has not come yet is left out.
 *
 * @throws Error if a byte is not where it must be.
 */
export function parseChunked(text: string): RawResponse {
	const end = text.indexOf('\r\n\r\n')
	if (end < 0) throw new Error(`No head in ${JSON.stringify(text)}`)
	const head = text.slice(0, end)
	if (!/^transfer-encoding: chunked$/im.test(head)) throw new Error(`Not chunked: ${head}`)
	const chunks: string[] = []
	const result = (complete: boolean, rest: string): RawResponse => ({
		head,
		chunks,
		body: chunks.join(''),
		complete,
		rest,
	})
	let at = end + 4
	for (;;) {
		const lineEnd = text.indexOf('\r\n', at)
		if (lineEnd < 0) return result(false, text.slice(at))
		const size = text.slice(at, lineEnd)
		if (!/^[0-9a-f]+$/i.test(size)) throw new Error(`Not a chunk size at ${at}: ${JSON.stringify(size)}`)
		const length = Number.parseInt(size, 16)
		const from = lineEnd + 2
		if (text.length < from + length + 2) return result(false, text.slice(at))
		if (text.slice(from + length, from + length + 2) !== '\r\n') {
			throw new Error(`A chunk of ${length} bytes does not end where it says, at ${at}`)
		}
		if (length === 0) return result(true, text.slice(from + 2))
		chunks.push(text.slice(from, from + length))
		at = from + length + 2
	}
}

/** The events of a body, as `event:data`. */
export function eventsOf(body: string): string[] {
	const events: string[] = []
	createParser({ onEvent: ({ event = 'message', data }) => events.push(`${event}:${data}`) }).feed(body)
	return events
}

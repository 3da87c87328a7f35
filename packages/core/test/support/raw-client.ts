import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { until } from '@evstream/testkit'
import { onTestFinished } from 'vitest'

/** A client that shows the bytes of a connection as they are. */
export interface RawClient {
	readonly socket: Socket
	/** Everything that came, as latin1. */
	readonly text: string
	/** The first head. */
	readonly head: string
	/** What follows the first head, without the chunked coding; throws if the coding is broken. */
	readonly body: string
	/** Whether the last chunk came. */
	readonly complete: boolean
	/** Resolves when the server ended the connection. */
	readonly ended: Promise<void>
	/** Waits for a piece of text. */
	has(text: string): Promise<void>
}

/** A request as text. */
export function get(
	path = '/',
	headers: Record<string, string> = {},
	version = '1.1',
	method = 'GET',
): string {
	const lines = Object.entries({ Host: 'localhost', ...headers }).map(
		([name, value]) => `${name}: ${value}\r\n`,
	)
	return `${method} ${path} HTTP/${version}\r\n${lines.join('')}\r\n`
}

/** Connects and sends the text of one or more requests. */
export async function openRaw(port: number, request: string = get()): Promise<RawClient> {
	const socket = connect(port, '127.0.0.1')
	onTestFinished(() => void socket.destroy())
	socket.on('error', () => {})
	await once(socket, 'connect')
	let text = ''
	socket.on('data', (data) => {
		text += data.toString('latin1')
	})
	const ended = new Promise<void>((resolve) => {
		socket.once('end', resolve)
		socket.once('close', () => resolve())
	})
	socket.write(request)
	return {
		socket,
		get text() {
			return text
		},
		get head() {
			return text.slice(0, text.indexOf('\r\n\r\n') + 4)
		},
		get body() {
			const rest = text.slice(text.indexOf('\r\n\r\n') + 4)
			return /^transfer-encoding: chunked\r$/im.test(text) ? unchunk(rest).body : rest
		},
		get complete() {
			return unchunk(text.slice(text.indexOf('\r\n\r\n') + 4)).complete
		},
		ended,
		async has(part) {
			await until(() => text.includes(part), { what: `${JSON.stringify(part)} among the bytes` })
		},
	}
}

/** Takes the chunked coding off. An unfinished last chunk is left out, a wrong one is an error. */
export function unchunk(text: string): { body: string; complete: boolean; rest: string } {
	let body = ''
	let at = 0
	for (;;) {
		const end = text.indexOf('\r\n', at)
		if (end < 0) return { body, complete: false, rest: '' }
		const size = text.slice(at, end)
		if (!/^[0-9a-f]+$/i.test(size)) throw new Error(`Not the size of a chunk: ${JSON.stringify(size)}`)
		const length = Number.parseInt(size, 16)
		const stop = end + 2 + length
		if (stop + 2 > text.length) return { body, complete: false, rest: '' }
		if (text.slice(stop, stop + 2) !== '\r\n') throw new Error(`A chunk of ${length} bytes does not end`)
		if (length === 0) return { body, complete: true, rest: text.slice(stop + 2) }
		body += text.slice(end + 2, stop)
		at = stop + 2
	}
}

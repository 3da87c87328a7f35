import { connect, type Socket } from 'node:net'
import {
	type HttpHandler,
	listenHttp,
	type OpenSseOptions,
	openSse,
	type SseClient,
	type TestHttpServer,
	until,
} from '@evstream/testkit'
import { onTestFinished } from 'vitest'

/** An HTTP/1.1 server that ends with the test. */
export async function serve(handler: HttpHandler): Promise<TestHttpServer> {
	const server = await listenHttp(handler)
	onTestFinished(() => server.close())
	return server
}

/** A client that leaves with the test. */
export async function visit(
	server: TestHttpServer,
	options?: OpenSseOptions,
	path = '/',
): Promise<SseClient> {
	const client = await openSse(server.url + path, options)
	onTestFinished(() => client.close())
	return client
}

/** What a bare socket got so far. */
export interface RawClient {
	readonly socket: Socket
	readonly text: string
	/** The other side has closed its half, or all of it is over. */
	readonly ended: boolean
	/** Resolves once the text has the part in it. */
	has(part: string): Promise<void>
}

/** A bare TCP connection that sent the lines of a request head, for what an HTTP client would not do. */
export async function dial(server: TestHttpServer, ...lines: string[]): Promise<RawClient> {
	const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
	onTestFinished(() => void socket.destroy())
	let text = ''
	let ended = false
	socket.setEncoding('utf8')
	socket.on('data', (chunk: string) => {
		text += chunk
	})
	socket.on('end', () => {
		ended = true
	})
	socket.on('close', () => {
		ended = true
	})
	socket.on('error', () => {})
	socket.write(`${lines.join('\r\n')}\r\n\r\n`)
	const client: RawClient = {
		socket,
		get text() {
			return text
		},
		get ended() {
			return ended
		},
		async has(part) {
			await until(() => text.includes(part), { what: JSON.stringify(part) })
		},
	}
	return client
}

/** What a function throws. */
export function thrownBy(run: () => unknown): unknown {
	try {
		run()
	} catch (error) {
		return error
	}
	return undefined
}

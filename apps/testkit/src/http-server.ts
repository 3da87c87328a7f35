import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http'
import {
	createServer as createHttp2,
	createSecureServer,
	type Http2ServerRequest,
	type Http2ServerResponse,
} from 'node:http2'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo, Server, Socket } from 'node:net'

/** A self-signed key pair for `localhost` and 127.0.0.1, for tests only. `cert` is also the `ca` of a client. */
export const testTls: { key: string; cert: string } = {
	key: readFileSync(new URL('../fixtures/localhost.key', import.meta.url), 'utf8'),
	cert: readFileSync(new URL('../fixtures/localhost.crt', import.meta.url), 'utf8'),
}

/** A server on a free loopback port. */
export interface TestHttpServer {
	/** `http://127.0.0.1:port` or `https://127.0.0.1:port`, without a slash at the end. */
	readonly url: string
	readonly port: number
	readonly server: Server
	/** Destroys all sockets and stops listening. */
	close(): Promise<void>
}

/** Answers an HTTP/1.1 request. */
export type HttpHandler = (req: IncomingMessage, res: ServerResponse) => unknown

/** Answers an HTTP/2 request through Node's compatibility API. */
export type Http2Handler = (req: Http2ServerRequest, res: Http2ServerResponse) => unknown

/**
 * Starts a server on a loopback port: HTTP/1.1, or with `http2` HTTP/2 without TLS, or with `https` either of
 * them over TLS with {@link testTls}.
 */
export function listenHttp(
	handler: HttpHandler,
	options?: { http2?: false; https?: boolean },
): Promise<TestHttpServer>
export function listenHttp(
	handler: Http2Handler,
	options: { http2: true; https?: boolean },
): Promise<TestHttpServer>
export async function listenHttp(
	// The overloads pair each handler with its protocol; inside, the pairing is lost.
	// biome-ignore lint/suspicious/noExplicitAny: a parameter that takes either handler
	handler: (req: any, res: any) => unknown,
	{ http2 = false, https = false }: { http2?: boolean; https?: boolean } = {},
): Promise<TestHttpServer> {
	const server = https
		? http2
			? createSecureServer(testTls, handler)
			: createHttps(testTls, handler)
		: http2
			? createHttp2(handler)
			: createHttp(handler)
	const sockets = new Set<Socket>()
	server.on('connection', (socket: Socket) => {
		sockets.add(socket)
		socket.on('close', () => sockets.delete(socket))
	})
	server.listen(0, '127.0.0.1')
	await once(server, 'listening')
	// A TCP server that listens has an AddressInfo; only pipes have a string.
	const { port } = server.address() as AddressInfo
	return {
		url: `${https ? 'https' : 'http'}://127.0.0.1:${port}`,
		port,
		server,
		async close() {
			for (const socket of sockets) socket.destroy()
			if (!server.listening) return
			const closed = once(server, 'close')
			server.close()
			await closed
		},
	}
}

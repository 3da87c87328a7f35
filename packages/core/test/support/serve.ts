import type { IncomingMessage, ServerResponse } from 'node:http'
import {
	AwaitableQueue,
	type HttpHandler,
	listenHttp,
	type OpenSseOptions,
	openSse,
	type SseClient,
	type TestHttpServer,
} from '@evstream/testkit'
import { onTestFinished } from 'vitest'
import { type EvManagedStream, type EvManagerOptions, EvStreamManager } from '../../src/index.js'

/** A server that ends with the test. */
export async function serve(handler: HttpHandler): Promise<TestHttpServer> {
	const server = await listenHttp(handler)
	onTestFinished(() => server.close())
	return server
}

/** A client that leaves with the test. */
export async function connect(url: string, options?: OpenSseOptions): Promise<SseClient> {
	const client = await openSse(url, options)
	onTestFinished(() => client.close())
	return client
}

/** A stream on the server's side, with what it came from. */
export interface Exchange {
	stream: EvManagedStream
	req: IncomingMessage
	res: ServerResponse
}

/** A manager behind a real server. */
export interface ServedManager {
	readonly manager: EvStreamManager
	readonly server: TestHttpServer
	/** Those that `connect` did not take, in the order they came. */
	readonly exchanges: AwaitableQueue<Exchange>
	/** A client, and the stream it got. One at a time. */
	connect(options?: OpenSseOptions): Promise<Exchange & { client: SseClient }>
}

/** Serves each request as a stream of one manager. */
export async function serveManager(
	options: EvManagerOptions = {},
	onStream: (stream: EvManagedStream) => void = () => {},
): Promise<ServedManager> {
	const manager = new EvStreamManager(options)
	const exchanges = new AwaitableQueue<Exchange>()
	const server = await serve((req, res) => {
		const stream = manager.createStream(req, res)
		onStream(stream)
		exchanges.push({ stream, req, res })
	})
	return {
		manager,
		server,
		exchanges,
		async connect(request) {
			const client = await connect(server.url, request)
			return { ...(await exchanges.next()), client }
		},
	}
}

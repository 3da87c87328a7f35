import type { IncomingMessage, ServerResponse } from 'node:http'
import { AwaitableQueue, listenHttp, type TestHttpServer } from '@evstream/testkit'
import { onTestFinished } from 'vitest'
import {
	type EvManagedStream,
	type EvManagerOptions,
	type EvOptions,
	EvStreamManager,
} from '../../src/index.js'

/** What happens to a request, in order: `before`, the stream is made, `onStream`. */
export interface ServeOptions {
	http2?: boolean
	https?: boolean
	/** Options of each stream. */
	stream?: EvOptions
	/** May answer itself: then it returns `false`. */
	before?: (req: IncomingMessage, res: ServerResponse) => unknown
	onStream?: (stream: EvManagedStream, req: IncomingMessage, res: ServerResponse) => void
}

/** A manager behind a real server. */
export interface Served {
	readonly manager: EvStreamManager
	readonly url: string
	readonly port: number
	readonly server: TestHttpServer
	/** The streams in the order they came, with the response of each. */
	readonly streams: AwaitableQueue<{ stream: EvManagedStream; res: ServerResponse }>
	/** What `onError` was told. */
	readonly errors: unknown[]
}

/** Serves each request as a stream of one manager, until the test is over. Channels are those of `?channel=`. */
export async function serve(
	managerOptions: EvManagerOptions = {},
	options: ServeOptions = {},
): Promise<Served> {
	const errors: unknown[] = []
	const manager = new EvStreamManager({ onError: (error) => errors.push(error), ...managerOptions })
	const streams: Served['streams'] = new AwaitableQueue()
	const handler = (req: IncomingMessage, res: ServerResponse): void => {
		if (options.before?.(req, res) === false) return
		const stream = manager.createStream(req, res, options.stream)
		const { searchParams } = new URL(req.url ?? '', 'http://localhost')
		for (const channel of searchParams.getAll('channel')) stream.listen(channel)
		options.onStream?.(stream, req, res)
		streams.push({ stream, res })
	}
	const https = options.https ?? false
	const server =
		options.http2 === true
			? await listenHttp(
					// The compatibility API stands in for HTTP/1's classes, as it does for apps.
					(req, res) => handler(req as unknown as IncomingMessage, res as unknown as ServerResponse),
					{ http2: true, https },
				)
			: await listenHttp(handler, { https })
	onTestFinished(async () => {
		await server.close()
		await manager.close()
	})
	return { manager, url: server.url, port: server.port, server, streams, errors }
}

import { createServer, type IncomingMessage } from 'node:http'
import { EvStreamManager } from 'evstream'
import { createDemo } from '../../src/app.js'
import type { DemoChannels } from '../../src/channels.js'
import { listen } from '../../src/listen.js'

export interface RunningDemo {
	readonly url: string
	readonly manager: EvStreamManager<DemoChannels>
	/** Every request so far, in order. */
	readonly requests: readonly IncomingMessage[]
	close(): Promise<void>
}

/** The demo in this process, in memory, on a free port. */
export async function startDemo(): Promise<RunningDemo> {
	const manager = new EvStreamManager<DemoChannels>({ history: { size: 1_000, ttl: 600_000 } })
	const demo = createDemo({ manager, retry: 1_000 })
	const requests: IncomingMessage[] = []
	const server = createServer((req, res) => {
		requests.push(req)
		demo.app(req, res)
	})
	const port = await listen(server, 0, '127.0.0.1')
	return {
		url: `http://127.0.0.1:${port}`,
		manager,
		requests,
		async close() {
			server.close()
			await manager.close({ drainMs: 0 })
			await demo.close()
			server.closeAllConnections()
		},
	}
}

/** Posts JSON and gives the answer. */
export function postJson(url: string, body: unknown): Promise<Response> {
	return fetch(url, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify(body),
	})
}

/** Posts `texts` to the board, one after the other. */
export async function postAll(url: string, texts: readonly string[]): Promise<void> {
	for (const text of texts) {
		const answer = await postJson(`${url}/board`, { name: 'Ada', text })
		if (answer.status !== 201) throw new Error(`POST /board was answered with ${answer.status}`)
	}
}

import { createServer } from 'node:http'
import { type EvRedisAdapter, EvStreamManager } from 'evstream'
import { createDemo } from './app.js'
import type { DemoChannels } from './channels.js'
import { listen } from './listen.js'

/** How long a shutdown takes to send the clients away, in ms. */
const DRAIN = 1_000

export interface ServeOptions {
	readonly port: number
	readonly host: string
	readonly adapter?: EvRedisAdapter | undefined
	readonly instance?: string | undefined
	readonly retry?: number | undefined
	readonly kill?: (() => void) | undefined
}

export interface Served {
	readonly port: number
	/** Takes no new connection, sends the clients away over a second, and resolves when all are gone. */
	close(): Promise<void>
}

/** One instance: a manager, the app, a listening server. */
export async function serve({ port, host, adapter, ...options }: ServeOptions): Promise<Served> {
	const manager = new EvStreamManager<DemoChannels>({
		history: { size: 1_000, ttl: 10 * 60_000 },
		adapter,
		onError: (error) => console.error(error),
	})
	const demo = createDemo({ manager, adapter, ...options })
	const server = createServer(demo.app)
	return {
		port: await listen(server, port, host),
		async close() {
			// The listener first: whoever is sent away must not come back to this instance.
			server.close()
			await manager.close({ drainMs: DRAIN })
			await demo.close()
			server.closeAllConnections()
		},
	}
}

/** sse-channel comes without types; what the bench uses of it. */
declare module 'sse-channel' {
	import type { IncomingMessage, ServerResponse } from 'node:http'

	export default class SseChannel {
		constructor(options?: { pingInterval?: number })
		addClient(req: IncomingMessage, res: ServerResponse): void
		send(message: { data: string }, clients?: ServerResponse[]): void
		getConnectionCount(): number
	}
}

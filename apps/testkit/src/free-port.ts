import { once } from 'node:events'
import { createServer } from 'node:net'

/** A loopback port that nobody listens on. Somebody else may take it before it is used. */
export async function freePort(): Promise<number> {
	const server = createServer().listen(0, '127.0.0.1')
	await once(server, 'listening')
	const address = server.address()
	const closed = once(server, 'close')
	server.close()
	await closed
	if (address === null || typeof address === 'string') throw new Error('No port')
	return address.port
}

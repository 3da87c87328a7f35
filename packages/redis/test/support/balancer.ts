import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** A TCP proxy that gives each connection to the next target in turn. */
export interface Balancer {
	readonly port: number
	close(): Promise<void>
}

/**
 * Starts one on a free loopback port.
 *
 * @param targets The loopback ports that may be up, asked for each connection.
 */
export async function startBalancer(targets: () => readonly number[]): Promise<Balancer> {
	const sockets = new Set<Socket>()
	let turn = 0
	const server = createServer((client) => {
		const ports = targets()
		const port = ports[turn++ % Math.max(ports.length, 1)]
		if (port === undefined) {
			client.destroy()
			return
		}
		const upstream = connect(port, '127.0.0.1')
		for (const [socket, other] of [
			[client, upstream],
			[upstream, client],
		] as const) {
			sockets.add(socket)
			socket.setNoDelay(true)
			socket.on('error', () => other.destroy())
			socket.on('close', () => {
				sockets.delete(socket)
				other.destroy()
			})
			socket.pipe(other)
		}
	})
	server.listen(0, '127.0.0.1')
	await once(server, 'listening')
	const address = server.address()
	if (address === null || typeof address === 'string') throw new Error('No port')
	return {
		port: address.port,
		async close() {
			for (const socket of sockets) socket.destroy()
			const closed = once(server, 'close')
			server.close()
			await closed
		},
	}
}

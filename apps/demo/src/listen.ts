import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Listens, and gives the port. Rejects if it is taken. */
export async function listen(server: Server, port: number, host: string): Promise<number> {
	server.listen(port, host)
	await once(server, 'listening')
	return (server.address() as AddressInfo).port
}

/** Runs `stop` once, on the first SIGINT or SIGTERM, and then ends the process. */
export function onStop(stop: () => Promise<void>): void {
	let stopping = false
	const run = async () => {
		if (stopping) return
		stopping = true
		await stop()
		process.exit(0)
	}
	for (const signal of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.on(signal, run)
}

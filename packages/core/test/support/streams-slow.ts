import type { ServerResponse } from 'node:http'
import type { SseClient } from '@evstream/testkit'
import type { EvManagedStream } from '../../src/index.js'

/** A message that is larger than what a socket takes without asking to pause. */
export const LARGE: string = 'x'.repeat(65_536)

/** A whole turn of the event loop: what was written before was offered to the kernel, and sockets were polled. */
export function nextTurn(): Promise<void> {
	return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

/** The numbers that messages begin with. */
export function numbersOf(client: Pick<SseClient, 'events'>): number[] {
	return client.events.filter(({ event }) => event === 'message').map(({ data }) => Number.parseInt(data, 10))
}

/** From here on the socket under the response takes nothing: what is written waits in this process. Returns its undo. */
export function holdSocket({ socket }: ServerResponse): () => void {
	if (socket === null) throw new Error('The response has no socket')
	const { _write, _writev } = socket
	const held: (() => void)[] = []
	socket._write = (...args) => void held.push(() => _write.apply(socket, args))
	socket._writev = (...args) => void held.push(() => _writev?.apply(socket, args))
	return () => {
		socket._write = _write
		if (_writev !== undefined) socket._writev = _writev
		for (const write of held) write()
	}
}

/** Resolves with why the stream ended. */
export function reasonOf(stream: EvManagedStream): Promise<string> {
	return new Promise((resolve) => {
		stream.onClose((_channels, reason) => resolve(reason))
	})
}

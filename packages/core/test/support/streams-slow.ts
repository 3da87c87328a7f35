import type { ServerResponse } from 'node:http'
import type { SseClient } from '@evstream/testkit'
import type { EvManagedStream } from '../../src/index.js'

/** A message that is larger than what a socket takes without asking to pause. */
export const LARGE: string = 'x'.repeat(65_536)

/** The next turn of the event loop: the tick is over and what it wrote was offered to the kernel. */
export function nextTurn(): Promise<void> {
	return new Promise((resolve) => setImmediate(resolve))
}

/** The numbers that messages begin with. */
export function numbersOf(client: Pick<SseClient, 'events'>): number[] {
	return client.events.filter(({ event }) => event === 'message').map(({ data }) => Number.parseInt(data, 10))
}

/** From here on the socket under the response takes nothing: what is written waits in this process. */
export function holdSocket({ socket }: ServerResponse): void {
	if (socket === null) throw new Error('The response has no socket')
	socket._write = () => {}
	socket._writev = () => {}
}

/** Resolves with why the stream ended. */
export function reasonOf(stream: EvManagedStream): Promise<string> {
	return new Promise((resolve) => {
		stream.onClose((_channels, reason) => resolve(reason))
	})
}

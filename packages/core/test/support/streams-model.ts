import type { SseClient, SseEvent } from '@evstream/testkit'

/** A message as it was sent: the id the log gave it. */
export interface Sent {
	readonly id: string
	readonly channel: string
	readonly data: string
}

/** The number in a position. */
export function seqOf(id: string | undefined): number {
	return Number(id?.slice(id.lastIndexOf('-') + 1))
}

/** The id an `EventSource` would come back with. */
export function lastIdOf(events: readonly SseEvent[]): string | undefined {
	return events.findLast(({ id }) => id !== undefined)?.id
}

/** The data of the messages, without what the library says itself. */
export function messagesOf({ events }: Pick<SseClient, 'events'>): string[] {
	return events.filter(({ event }) => !['position', 'reset', 'end'].includes(event)).map(({ data }) => data)
}

/**
 * Holds what a client collected, over all its connections, against everything that was sent to its channels, in
 * order. Says what is wrong first, or `undefined`: a message lost without a reset, doubled, or out of order.
 */
export function findHole(
	sent: readonly Sent[],
	connections: readonly (readonly SseEvent[])[],
): string | undefined {
	let at: number | undefined
	for (const events of connections) {
		for (const { event, id, data } of events) {
			if (id === undefined) continue
			const seq = seqOf(id)
			const due = at === undefined ? undefined : sent.find((message) => seqOf(message.id) > (at ?? 0))
			if (event === 'position') {
				if (due !== undefined && seqOf(due.id) <= seq) return `${due.data} is missing before position ${id}`
				if (at !== undefined && seq < at) return `position ${id} goes back from ${at}`
			} else if (event !== 'reset' && due?.id !== id) {
				return `${data} (${id}) came after ${at} in place of ${due?.data} (${due?.id})`
			}
			at = seq
		}
	}
	const due = at === undefined ? undefined : sent.find((message) => seqOf(message.id) > (at ?? 0))
	return due === undefined ? undefined : `${due.data} is missing at the end`
}

import { createParser, type EventSourceMessage } from 'eventsource-parser'

/** Opens a stream, takes the first `count` events, and leaves. */
export async function readEvents(
	url: string,
	count: number,
	headers: Record<string, string> = {},
): Promise<EventSourceMessage[]> {
	const events: EventSourceMessage[] = []
	const leave = new AbortController()
	// A test that waits for an event that never comes fails, and does not hang.
	const signal = AbortSignal.any([leave.signal, AbortSignal.timeout(5_000)])
	const response = await fetch(url, { headers, signal })
	if (!response.ok || response.body === null) throw new Error(`The answer was ${response.status}.`)
	const parser = createParser({ onEvent: (event) => events.push(event) })
	const decoder = new TextDecoder()
	for await (const bytes of response.body) {
		parser.feed(decoder.decode(bytes, { stream: true }))
		if (events.length >= count) break
	}
	leave.abort()
	return events.slice(0, count)
}

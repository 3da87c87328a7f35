import { createParser } from 'eventsource-parser'

/** What a conforming client makes of some bytes of a stream. */
export interface Parsed {
	events: { event: string | undefined; id: string | undefined; data: string }[]
	comments: string[]
	retries: number[]
	errors: unknown[]
}

/** Parses text as a conforming client does, in one piece or cut at the given places. */
export function parse(text: string, cuts: readonly number[] = []): Parsed {
	const parsed: Parsed = { events: [], comments: [], retries: [], errors: [] }
	const parser = createParser({
		onEvent: ({ event, id, data }) => parsed.events.push({ event, id, data }),
		onComment: (comment) => parsed.comments.push(comment),
		onRetry: (retry) => parsed.retries.push(retry),
		onError: (error) => parsed.errors.push(error),
	})
	let at = 0
	for (const cut of [...cuts, text.length]) {
		parser.feed(text.slice(at, cut))
		at = Math.max(at, cut)
	}
	return parsed
}

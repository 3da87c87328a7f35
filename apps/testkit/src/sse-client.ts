import { once } from 'node:events'
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createParser } from 'eventsource-parser'

/** One event as a conforming parser sees it. */
export interface SseEvent {
	/** `message` when the frame names none. */
	event: string
	/** The id of this very frame; `undefined` when it has none. */
	id: string | undefined
	data: string
}

/** How to ask for a stream. */
export interface OpenSseOptions {
	headers?: Record<string, string>
	signal?: AbortSignal
	/** Default `GET`. */
	method?: string
}

/** A test client that follows one response and remembers everything. */
export interface SseClient {
	readonly status: number
	readonly headers: IncomingHttpHeaders
	/** All events so far. */
	readonly events: readonly SseEvent[]
	/** All comments so far. */
	readonly comments: readonly string[]
	/** The body so far, as it came. */
	readonly raw: string
	/** Resolves when the response is over, whichever side ended it. Never rejects. */
	readonly closed: Promise<void>
	/**
	 * The first event that matches, after the last one `next` gave back; waits for it if it is not there yet.
	 *
	 * @param match An event name or a predicate; any event without it.
	 * @param timeout Milliseconds, default 5000.
	 * @throws Error when it did not come in time or the stream ended before it; the message lists what came.
	 */
	next(match?: string | ((event: SseEvent) => boolean), timeout?: number): Promise<SseEvent>
	/** Stops reading, so that the server runs into back-pressure. */
	pause(): void
	/** Reads on. */
	resume(): void
	/** Destroys the socket. */
	close(): void
}

/**
 * Opens a stream over `node:http` (or `node:https`, trusting every certificate) and resolves once the head of
 * the response is there, whatever its status. It never reconnects.
 *
 * @throws Error when there is no response, or the signal aborted before it.
 */
export async function openSse(url: string | URL, options: OpenSseOptions = {}): Promise<SseClient> {
	const request = String(url).startsWith('https:') ? httpsRequest : httpRequest
	const req = request(url, {
		method: options.method ?? 'GET',
		headers: { accept: 'text/event-stream', ...options.headers },
		agent: false,
		rejectUnauthorized: false,
		...(options.signal && { signal: options.signal }),
	})
	// The head is awaited below; later errors mean that the stream is over, which `closed` says.
	req.on('error', () => {})
	req.end()
	const [response]: IncomingMessage[] = await once(req, 'response')
	if (!response) throw new Error('No response')
	return follow(response)
}

function follow(response: IncomingMessage): SseClient {
	const events: SseEvent[] = []
	const comments: string[] = []
	const watchers = new Set<() => void>()
	const wake = (): void => {
		for (const watcher of watchers) watcher()
	}
	let raw = ''
	let over = false
	let cursor = 0

	const parser = createParser({
		onEvent: ({ event = 'message', id, data }) => events.push({ event, id, data }),
		onComment: (comment) => comments.push(comment),
	})
	response.setEncoding('utf8')
	response.on('data', (text: string) => {
		raw += text
		parser.feed(text)
		wake()
	})
	response.on('error', () => {})
	const closed = new Promise<void>((resolve) => {
		response.on('close', () => {
			over = true
			resolve()
			wake()
		})
	})

	return {
		status: response.statusCode ?? 0,
		headers: response.headers,
		events,
		comments,
		get raw() {
			return raw
		},
		closed,
		next(match = () => true, timeout = 5000) {
			const matches = typeof match === 'string' ? (event: SseEvent) => event.event === match : match
			return new Promise((resolve, reject) => {
				const done = (settle: () => void): void => {
					clearTimeout(timer)
					watchers.delete(look)
					settle()
				}
				const fail = (why: string): void => {
					const what = typeof match === 'string' ? `the event "${match}"` : 'a matching event'
					const seen = events.map((event) => `${event.event} ${event.data}`.slice(0, 80))
					done(() => reject(new Error(`${why} before ${what}; events so far: ${JSON.stringify(seen)}`)))
				}
				const look = (): void => {
					const index = events.findIndex((event, at) => at >= cursor && matches(event))
					const found = events[index]
					if (found) {
						cursor = index + 1
						done(() => resolve(found))
					} else if (over) fail('The stream ended')
				}
				const timer = setTimeout(() => fail(`${timeout} ms went by`), timeout)
				watchers.add(look)
				look()
			})
		},
		pause: () => void response.pause(),
		resume: () => void response.resume(),
		close: () => void response.destroy(),
	}
}

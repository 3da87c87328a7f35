import { type IncomingMessage, request as requestHttp } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { request as requestHttps } from 'node:https'
import type { Readable } from 'node:stream'
import { type SseEvent, until } from '@evstream/testkit'
import { createParser } from 'eventsource-parser'
import { onTestFinished } from 'vitest'
import { type EvManagedStream, type EvManagerOptions, EvStreamManager } from '../../src/index.js'
import { type ServeOptions, serve } from './streams-server.js'

/** How a client comes, and how it reads. */
export interface VisitOptions {
	lastEventId?: string | undefined
	/** Does not begin to read. */
	paused?: boolean
	/** In ms: how long it waits after every 64 KiB that it has read. */
	pace?: number
}

/** One visit of a client over one of the transports. */
export interface Visit {
	readonly stream: EvManagedStream
	readonly status: number
	/** All events so far. */
	readonly events: readonly SseEvent[]
	/** Bytes of the body so far. */
	readonly bytes: number
	/** The body has ended, or was cut off. */
	readonly over: boolean
	resume(): void
	cut(): void
	/** Waits for an event that has the name or the data. */
	has(what: string): Promise<SseEvent>
}

/** A manager that clients reach over one transport. */
export interface Line {
	readonly manager: EvStreamManager
	/** What `onError` was told. */
	readonly errors: unknown[]
	/** One at a time. */
	visit(options?: VisitOptions): Promise<Visit>
}

/** A way to clients. */
export interface Way {
	readonly name: string
	/** Serves until the test is over. `onStream` is called in the handler. */
	open(options?: EvManagerOptions, onStream?: (stream: EvManagedStream) => void): Promise<Line>
}

/** Replaces `write` by one that does the same, as apps and libraries do. */
const replaceWrite: ServeOptions['before'] = (_req, res) => {
	const write = res.write.bind(res)
	res.write = (chunk: unknown) => write(chunk)
}

/** All ways to a client that differ in how bytes go. */
export const ways: readonly Way[] = [
	node('HTTP/1.1', {}),
	node('HTTP/1.1 with a replaced write', { before: replaceWrite }),
	node('HTTPS', { https: true }),
	node('HTTP/2', { http2: true }),
	node('HTTP/2 with a replaced write', { http2: true, before: replaceWrite }),
	node('HTTP/2 over TLS', { http2: true, https: true }),
	{ name: 'a web response', open: openWeb },
]

function node(name: string, options: ServeOptions): Way {
	return {
		name,
		async open(managerOptions = {}, onStream = () => {}) {
			const { manager, errors, url, streams } = await serve(managerOptions, { ...options, onStream })
			return {
				manager,
				errors,
				async visit(how = {}) {
					const body = new Body(how)
					if (options.http2 === true) dialHttp2(url, how, body)
					else dial(url, how, body)
					const { stream } = await streams.next()
					await until(() => body.status > 0, { what: 'the head' })
					return body.visit(stream)
				},
			}
		},
	}
}

async function openWeb(
	options: EvManagerOptions = {},
	onStream: (stream: EvManagedStream) => void = () => {},
): Promise<Line> {
	const errors: unknown[] = []
	const manager = new EvStreamManager({ onError: (error) => errors.push(error), ...options })
	onTestFinished(() => manager.close())
	return {
		manager,
		errors,
		async visit(how = {}) {
			const headers = headersOf(how)
			const { stream, response } = manager.createResponse(new Request('http://localhost/', { headers }))
			onStream(stream)
			const body = new Body(how)
			body.status = response.status
			body.read(response)
			return body.visit(stream)
		},
	}
}

function headersOf({ lastEventId }: VisitOptions): Record<string, string> {
	return lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
}

function dial(url: string, how: VisitOptions, body: Body): void {
	const request = url.startsWith('https:') ? requestHttps : requestHttp
	const req = request(url, { agent: false, rejectUnauthorized: false, headers: headersOf(how) })
	onTestFinished(() => void req.destroy())
	req.on('error', () => body.end())
	req.on('response', (res: IncomingMessage) => {
		body.status = res.statusCode ?? 0
		body.follow(res)
	})
	req.end()
	body.cut = () => void req.destroy()
}

function dialHttp2(url: string, how: VisitOptions, body: Body): void {
	const session = connectHttp2(url, { rejectUnauthorized: false })
	onTestFinished(() => void session.destroy())
	session.on('error', () => body.end())
	const stream = session.request({ ':path': '/', ...headersOf(how) })
	stream.on('response', (headers) => {
		body.status = Number(headers[':status'])
	})
	body.follow(stream)
	body.cut = () => void session.destroy()
}

/** The client's side of a response. */
class Body {
	status = 0
	bytes = 0
	over = false
	readonly events: SseEvent[] = []
	cut: () => void = () => {}
	readonly #pace: number | undefined
	#sinceWait = 0
	#resume: () => void = () => {}
	readonly #started: Promise<void>
	readonly #decoder = new TextDecoder()
	readonly #parser = createParser({
		onEvent: ({ event = 'message', id, data }) => this.events.push({ event, id, data }),
	})

	constructor({ paused = false, pace }: VisitOptions) {
		this.#pace = pace
		this.#started = new Promise((resolve) => {
			this.#resume = resolve
		})
		if (!paused) this.#resume()
	}

	/** Reads a Node stream. */
	follow(stream: Readable): void {
		stream.on('error', () => this.end())
		stream.on('close', () => this.end())
		void this.#started.then(() => {
			stream.on('data', (bytes: Uint8Array) => {
				const wait = this.#take(bytes)
				if (wait === undefined) return
				stream.pause()
				setTimeout(() => stream.resume(), wait)
			})
		})
	}

	/** Reads a web response. */
	read(response: Response): void {
		const reader = response.body?.getReader()
		this.cut = () => void reader?.cancel()
		const go = async (): Promise<void> => {
			await this.#started
			for (;;) {
				const part = await reader?.read()
				if (part === undefined || part.done) break
				const wait = this.#take(part.value)
				if (wait !== undefined) await new Promise((resolve) => setTimeout(resolve, wait))
			}
		}
		go()
			.catch(() => {})
			.finally(() => this.end())
	}

	end(): void {
		this.over = true
	}

	visit(stream: EvManagedStream): Visit {
		const body = this
		return {
			stream,
			status: this.status,
			events: this.events,
			get bytes() {
				return body.bytes
			},
			get over() {
				return body.over
			},
			resume: () => this.#resume(),
			cut: () => this.cut(),
			has: (what) =>
				until(() => this.events.find(({ event, data }) => event === what || data === what), {
					what: `${what} among ${this.events.length} events`,
					timeout: 15_000,
				}),
		}
	}

	/** How long to wait before more is read. */
	#take(bytes: Uint8Array): number | undefined {
		this.bytes += bytes.byteLength
		this.#sinceWait += bytes.byteLength
		this.#parser.feed(this.#decoder.decode(bytes, { stream: true }))
		if (this.#pace === undefined || this.#sinceWait < 65_536) return undefined
		this.#sinceWait = 0
		return this.#pace
	}
}

import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { EventSource } from 'eventsource'
import type { Random } from './random.js'
import type { ClientTranscript } from './transcript.js'

/** A client that comes back by itself, as a browser does, until it is closed. */
export interface StreamClient {
	/** How often it connected anew. */
	readonly reconnects: number
	close(): void
}

/** After how many ms a client comes back, at least. */
export const RETRY = 50

/** As little as an EventSource can be, so that hundreds of them fit into one process. */
export class LightClient implements StreamClient {
	reconnects = -1
	readonly #port: number
	readonly #transcript: ClientTranscript
	readonly #random: Random
	#lastEventId = ''
	#rest = ''
	#request: ClientRequest | undefined
	#timer: NodeJS.Timeout | undefined
	#closed = false

	constructor(port: number, transcript: ClientTranscript, random: Random) {
		this.#port = port
		this.#transcript = transcript
		this.#random = random
		this.#connect()
	}

	close(): void {
		this.#closed = true
		clearTimeout(this.#timer)
		this.#request?.destroy()
	}

	readonly #connect = (): void => {
		this.reconnects++
		this.#rest = ''
		const headers: Record<string, string> = { accept: 'text/event-stream' }
		if (this.#lastEventId !== '') headers['last-event-id'] = this.#lastEventId
		this.#request = request({ host: '127.0.0.1', port: this.#port, headers, agent: false })
			.on('response', (response: IncomingMessage) => {
				response.setEncoding('latin1')
				response.on('data', (text: string) => this.#feed(text))
				response.on('error', () => {})
			})
			.on('error', () => {})
			.on('close', () => {
				if (!this.#closed) this.#timer = setTimeout(this.#connect, RETRY * (1 + this.#random.next()))
			})
			.end()
	}

	#feed(text: string): void {
		const all = this.#rest + text
		let from = 0
		for (let to = all.indexOf('\n\n'); to >= 0; to = all.indexOf('\n\n', from)) {
			this.#frame(all.slice(from, to))
			from = to + 2
		}
		this.#rest = all.slice(from)
	}

	#frame(frame: string): void {
		let event = 'message'
		let id = ''
		let data = ''
		for (let from = 0; from < frame.length; ) {
			const end = frame.indexOf('\n', from)
			const to = end < 0 ? frame.length : end
			if (frame.startsWith('event:', from)) event = frame.slice(from + 6, to)
			else if (frame.startsWith('id:', from)) id = frame.slice(from + 3, to)
			else if (frame.startsWith('data:', from)) data = frame.slice(from + 5, to)
			from = to + 1
		}
		if (id !== '') this.#lastEventId = id
		this.#transcript.take(event, id, data)
	}
}

/** The npm `EventSource`. */
export class EventSourceClient implements StreamClient {
	readonly #source: EventSource
	#opened = 0

	constructor(port: number, transcript: ClientTranscript, channels: readonly string[]) {
		this.#source = new EventSource(`http://127.0.0.1:${port}/`)
		this.#source.onopen = () => {
			this.#opened++
		}
		for (const event of [...channels, 'position', 'reset']) {
			this.#source.addEventListener(event, ({ lastEventId, data }) =>
				transcript.take(event, lastEventId, data),
			)
		}
	}

	get reconnects(): number {
		return Math.max(0, this.#opened - 1)
	}

	close(): void {
		this.#source.close()
	}
}

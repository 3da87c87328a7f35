import { type IncomingMessage, request as requestHttp } from 'node:http'
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2'
import { request as requestHttps } from 'node:https'
import { connect as connectSocket } from 'node:net'
import type { Readable } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { createGunzip } from 'node:zlib'
import type { TransportName } from './world.js'

/** What a client asks for. */
export interface Ask {
	readonly path: string
	readonly method: 'GET' | 'HEAD'
	readonly lastEventId: string | undefined
	/** Does not begin to read. */
	readonly paused: boolean
}

/** What a client is told by its link. */
export interface Listener {
	onHead(status: number): void
	onBytes(bytes: Uint8Array): void
	/** `clean`: the response ended, it was not cut off. */
	onOver(clean: boolean): void
}

/** The client's side of one response. */
export interface Link {
	pause(): void
	resume(): void
	cut(): void
}

/** Opens a link to the server that listens at the given path. */
export function dial(transport: Exclude<TransportName, 'web'>, at: string, ask: Ask, to: Listener): Link {
	if (transport === 'h2c' || transport === 'h2') return dialHttp2(transport, at, ask, to)
	const request = transport === 'https' ? requestHttps : requestHttp
	const body = new Body(ask.paused, to)
	const req = request({
		socketPath: at,
		path: ask.path,
		method: ask.method,
		agent: false,
		rejectUnauthorized: false,
		headers: {
			...(ask.lastEventId === undefined ? {} : { 'last-event-id': ask.lastEventId }),
			...(transport === 'compressed' ? { 'accept-encoding': 'gzip' } : {}),
		},
	})
	req.on('error', () => body.over(false))
	req.on('response', (res: IncomingMessage) => {
		to.onHead(res.statusCode ?? 0)
		body.follow(res, res.headers['content-encoding'] === 'gzip')
	})
	req.end()
	return body.link(() => req.destroy())
}

function dialHttp2(transport: 'h2c' | 'h2', at: string, ask: Ask, to: Listener): Link {
	const session: ClientHttp2Session = connectHttp2('http://localhost', {
		createConnection: () =>
			transport === 'h2'
				? connectTls({ path: at, ALPNProtocols: ['h2'], rejectUnauthorized: false, servername: 'localhost' })
				: connectSocket(at),
	})
	const body = new Body(ask.paused, to, () => session.destroy())
	session.on('error', () => body.over(false))
	const stream: ClientHttp2Stream = session.request({
		':path': ask.path,
		':method': ask.method,
		...(ask.lastEventId === undefined ? {} : { 'last-event-id': ask.lastEventId }),
	})
	stream.on('response', (headers) => {
		to.onHead(Number(headers[':status']))
		body.follow(stream, false)
	})
	stream.on('error', () => body.over(false))
	stream.on('close', () => body.over(false))
	return body.link(() => session.destroy())
}

/** A response's body, followed to its end. */
class Body {
	#paused: boolean
	readonly #to: Listener
	readonly #release: () => void
	#stream: Readable | undefined
	#isOver = false

	constructor(paused: boolean, to: Listener, release: () => void = () => {}) {
		this.#paused = paused
		this.#to = to
		this.#release = release
	}

	follow(stream: Readable, gzip: boolean): void {
		this.#stream = stream
		if (this.#paused) stream.pause()
		const read = gzip ? unzipped(stream) : stream
		read.on('data', (bytes: Uint8Array) => this.#to.onBytes(bytes))
		if (this.#paused) stream.pause()
		read.on('end', () => this.over(true))
		read.on('error', () => this.over(false))
		stream.on('error', () => this.over(false))
		stream.on('aborted', () => this.over(false))
		if (!gzip) stream.on('close', () => this.over(false))
	}

	over(clean: boolean): void {
		if (this.#isOver) return
		this.#isOver = true
		this.#release()
		this.#to.onOver(clean)
	}

	link(destroy: () => void): Link {
		return {
			pause: () => {
				this.#paused = true
				this.#stream?.pause()
			},
			resume: () => {
				this.#paused = false
				this.#stream?.resume()
			},
			cut: () => {
				this.#isOver = true
				destroy()
				this.#release()
			},
		}
	}
}

function unzipped(stream: Readable): Readable {
	const gunzip = createGunzip()
	stream.on('data', (bytes: Uint8Array) => gunzip.write(bytes))
	stream.on('end', () => gunzip.end())
	return gunzip
}

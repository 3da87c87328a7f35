import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from 'node:http2'
import type { Frame } from './frame.js'
import { answerOn, headOf } from './node-head.js'
import { PacedQueue } from './paced-queue.js'
import { NodeRequest, type RequestView } from './request.js'
import { type Answer, hasBody, type Transport, type TransportOwner } from './transport.js'

/** `flush` is there if a compressor put it there. */
export type Http2Response = Http2ServerResponse & { flush?: () => void }

/**
 * The way to a client through HTTP/2's compatibility API. Frames go to the HTTP/2 stream under the response, unless
 * somebody replaced `res.write`; always at the pace at which it drains, since of one large write the stream tells
 * nothing until all of it is gone.
 */
export class Http2Transport implements Transport {
	readonly #req: Http2ServerRequest
	readonly #res: Http2Response
	/** Kept: the response lets it go when it is closed. */
	readonly #stream: ServerHttp2Stream
	readonly #owner: TransportOwner
	readonly #queue: PacedQueue
	/** As it was when the stream began; `undefined` if somebody had replaced it by then. */
	readonly #nativeWrite: Http2Response['write'] | undefined
	#onDrain: (() => void) | undefined
	/** The last frame, once the stream has ended and while bytes wait. */
	#ending: Frame | null | undefined
	#listens = false

	constructor(req: Http2ServerRequest, res: Http2ServerResponse, owner: TransportOwner) {
		this.#req = req
		this.#res = res
		this.#stream = res.stream
		this.#owner = owner
		this.#nativeWrite = Object.hasOwn(res, 'write') ? undefined : res.write
		this.#queue = new PacedQueue((bytes) => this.#hand(bytes))
		// On the stream: the response of a HEAD request says nothing when it is reset before its head is out.
		this.#stream.on('close', () => owner.responseClosed())
	}

	get request(): RequestView<Http2ServerRequest> {
		return new NodeRequest(this.#req)
	}

	get over(): boolean {
		return this.#res.writableEnded || this.#stream.destroyed || this.#stream.closed
	}

	get waiting(): number {
		return this.#queue.waiting + Math.max(this.#queue.inFlight, this.#stream.writableLength)
	}

	get behind(): boolean {
		return this.#queue.paused
	}

	get starved(): boolean {
		return false
	}

	open(): boolean {
		const res = this.#res
		if (!res.headersSent) res.writeHead(res.statusCode, headOf(res))
		if (hasBody(this.#req.method, res.statusCode)) return true
		res.end()
		return false
	}

	write(frame: Frame): boolean {
		this.#queue.write(frame.plain)
		return !this.#queue.paused
	}

	// The session itself joins what a tick brings.
	cork(): void {}
	uncork(): void {}
	flush(): void {}

	onDrain(callback: () => void): void {
		if (this.#queue.paused) this.#onDrain = callback
		// Fewer bytes wait than make the stream say `drain`; an empty write is done when they are gone. An error says
		// that the client is.
		else {
			this.#stream.write('', (error) => {
				if (error === undefined || error === null) callback()
			})
		}
	}

	progress(): number {
		return this.#queue.written - Math.max(this.#queue.inFlight, this.#stream.writableLength)
	}

	end(last: Frame | null, leave: boolean): void {
		// Also for a client that will not take the rest: its connection must end with the server.
		if (leave) this.#leave()
		if (this.over) return
		this.#ending = last
		if (this.#queue.waiting === 0) this.#end()
	}

	answer(answer: Answer): void {
		if (this.over) return
		const { Connection, ...headers } = answer.headers
		if (Connection !== undefined && !this.#res.headersSent) this.#leave()
		answerOn(this.#res, { ...answer, headers })
	}

	destroy(): void {
		this.#stream.destroy()
	}

	#hand(bytes: Buffer): boolean {
		const res = this.#res
		if (res.writableEnded || this.#stream.destroyed) return true
		const replaced = res.write !== this.#nativeWrite
		const answer: unknown = replaced ? res.write(bytes) : this.#stream.write(bytes)
		if (replaced && Object.hasOwn(res, 'flush')) res.flush?.()
		// A wrapper may return nothing.
		const taken = typeof answer === 'boolean' ? answer : !this.#stream.writableNeedDrain
		if (taken || this.#listens) return taken
		this.#listens = true
		// Add this listener only once: compressors forward it to their own stream, and `once` would not remove it there.
		res.on('drain', () => this.#drained())
		return taken
	}

	#drained(): void {
		if (!this.#queue.paused) return
		try {
			this.#queue.drained()
			if (this.#queue.paused) return
			if (this.#ending !== undefined) this.#end()
		} catch (error) {
			this.#owner.failed(error)
			return
		}
		const callback = this.#onDrain
		this.#onDrain = undefined
		callback?.()
	}

	#end(): void {
		const last = this.#ending
		if (last === null || last === undefined) this.#res.end()
		else this.#res.end(last.plain)
	}

	/** GOAWAY: the client finishes what it has begun on this connection, and opens a new one for what is next. */
	#leave(): void {
		const { session } = this.#stream
		if (session !== undefined && !session.closed && !session.destroyed) session.close()
	}
}

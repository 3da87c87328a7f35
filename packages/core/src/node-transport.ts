import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Frame } from './frame.js'
import { answerOn, headOf } from './node-head.js'
import { PacedQueue } from './paced-queue.js'
import { NodeRequest, type RequestView } from './request.js'
import { bytesTakenByKernel } from './socket-progress.js'
import { uncorkAtEndOfTick } from './tick.js'
import { type Answer, hasBody, type Transport, type TransportOwner } from './transport.js'
import { waitForTurn } from './waiting-responses.js'

/*
 * A response of HTTP/1 can be written in two ways.
 *
 * Direct: the frame, already framed as a chunk of the chunked coding, goes to the socket. It saves what
 * `res.write` spends on each client (four pieces, a mixed writev, a nextTick), which is more than half of the
 * user time of a fan-out. It is correct only while all of these hold:
 *
 *   1. The response is Node's own HTTP/1 one. Other runtimes only look like Node.
 *   2. Nobody replaced `res.write`. Compressors do; bytes written behind them corrupt what they produce.
 *   3. It is this response's turn on the socket: `res.socket` is null until earlier pipelined requests are
 *      answered, and the turn is over when the app ends the response.
 *   4. The head is out and nothing waits inside the response: else the frame would overtake it.
 *   5. The response has a body (not HEAD) that ends by chunked coding or by the end of the connection; with a
 *      Content-Length Node counts what passes through `res.write`.
 *
 * 1, 4 and 5 cannot become untrue again, so they are looked at when the path is chosen. 2 can, so every write looks
 * at it again. The end of 3 is told by `prefinish`, which `res.end` emits before it returns. Asking the response each
 * time would be as right, but of a thousand of them none is in the processor's cache: it costs 4 % of a fan-out.
 *
 * Through the response: everything else goes through `res.write`, at the pace at which the response drains, and a
 * `flush` that a compressor put on the response is called after it. After each such write the direct path is tried
 * for: a pipelined response takes it when its turn has come.
 */

/** As it was before anybody could replace it on one response. */
const nativeWrite = ServerResponse.prototype.write

/** Other runtimes offer `node:http` too, but their sockets do not carry what the response writes. */
const isNode = process.release?.name === 'node' && !('bun' in process.versions) && !('Deno' in globalThis)

const TRANSPORT: unique symbol = Symbol('evstream.transport')

/** `flush` is there if a compressor put it there. A symbol costs less than a closure for each listener. */
export type Http1Response = ServerResponse & { flush?: () => void; [TRANSPORT]?: NodeTransport }

export class NodeTransport implements Transport {
	readonly #req: IncomingMessage
	readonly #res: Http1Response
	readonly #owner: TransportOwner
	/** The socket of the direct path; `undefined` while frames go through the response. */
	#socket: Socket | undefined
	#chunked = false
	/** The socket this transport has corked in this tick. */
	#corked: Socket | undefined
	/** Made by the first frame that goes through the response. */
	#through: PacedQueue | undefined
	#onDrain: (() => void) | undefined
	/** The last frame, once the stream has ended and while bytes wait. */
	#ending: { last: Frame | null; leave: boolean } | undefined

	constructor(req: IncomingMessage, res: ServerResponse, owner: TransportOwner) {
		this.#req = req
		this.#res = res
		this.#owner = owner
		if (this.#res[TRANSPORT] !== undefined) {
			throw new TypeError('This response carries a stream already. Create one stream for each request.')
		}
		this.#res[TRANSPORT] = this
		// On the response: behind a body parser the request never says `close`.
		res.on('close', closed)
		if (isNode) res.on('prefinish', leaveSocket)
		if (res.socket !== null || this.over) return
		const turnHasCome = waitForTurn(req.socket, () => owner.responseClosed())
		if (turnHasCome !== undefined) res.once('close', turnHasCome).once('socket', turnHasCome)
	}

	get request(): RequestView<IncomingMessage> {
		return new NodeRequest(this.#req)
	}

	get over(): boolean {
		const res = this.#res
		return res.destroyed === true || res.writableEnded || (res.socket ?? this.#req.socket)?.destroyed === true
	}

	get waiting(): number {
		if (this.#socket !== undefined) return this.#socket.writableLength
		const through = this.#through
		if (through === undefined) return this.#res.writableLength
		// Behind a compressor bytes wait where nobody sees them; what was written since it asked to pause bounds them.
		return through.waiting + Math.max(through.inFlight, this.#res.writableLength)
	}

	get behind(): boolean {
		const socket = this.#socket
		if (socket !== undefined) return socket.writableLength >= socket.writableHighWaterMark
		return this.#through?.paused === true
	}

	get starved(): boolean {
		return this.#through?.paused === true && socketOf(this.#res)?.writableLength === 0
	}

	open(): boolean {
		const res = this.#res
		// The head and what the handler writes next become one system call.
		const socket = socketOf(res)
		if (socket !== undefined) this.#cork(socket)
		if (!res.headersSent) res.writeHead(res.statusCode, headOf(res))
		res.flushHeaders()
		releaseRawHeaders(this.#req)
		if (!hasBody(this.#req.method, res.statusCode)) {
			res.end()
			return false
		}
		this.#choosePath()
		return true
	}

	write(frame: Frame): boolean {
		const socket = this.#socket
		if (socket !== undefined && this.#res.write === nativeWrite) {
			return socket.write(this.#chunked ? frame.chunk : frame.plain)
		}
		return this.#writeThrough(frame)
	}

	cork(): void {
		if (this.#corked === undefined && this.#socket !== undefined) this.#cork(this.#socket)
	}

	uncork(): void {
		const socket = this.#corked
		if (socket === undefined) return
		this.#corked = undefined
		try {
			socket.uncork()
		} catch (error) {
			this.#owner.failed(error)
		}
	}

	flush(): void {
		this.uncork()
		const socket = socketOf(this.#res)
		// Node corks the socket for the tick when the response is written.
		if (socket !== undefined) while (socket.writableCorked > 0) socket.uncork()
	}

	onDrain(callback: () => void): void {
		const direct = this.#socket
		if (direct === undefined && this.#through?.paused === true) this.#onDrain = callback
		else if (direct?.writableNeedDrain) direct.once('drain', callback)
		else {
			// Fewer bytes wait than make anybody say `drain`; an empty write is done when they are gone.
			const to = direct ?? socketOf(this.#res)
			// An error says that the client is gone.
			const done = (error?: Error | null): void => {
				if (error === undefined || error === null) callback()
			}
			if (to !== undefined) to.write('', done)
			// Past a replaced `write`, which may lose the callback.
			else nativeWrite.call(this.#res, '', 'latin1', done)
		}
	}

	progress(): number {
		const through = this.#through
		const piecesTaken = through === undefined ? 0 : through.written - through.inFlight
		const socket = socketOf(this.#res)
		return socket === undefined ? piecesTaken : bytesTakenByKernel(socket)
	}

	end(last: Frame | null, leave: boolean): void {
		if (this.over) return
		this.#ending = { last, leave }
		if (this.#socket !== undefined || this.#through === undefined || this.#through.waiting === 0) this.#end()
	}

	answer(answer: Answer): void {
		if (!this.over) answerOn(this.#res, answer)
	}

	destroy(): void {
		const waits = this.#res.socket === null
		this.#res.destroy()
		// One that waits in a pipeline is destroyed only when its turn comes, which may be never.
		if (waits) this.#owner.responseClosed()
	}

	/** The app has ended the response: its last bytes are written, and nothing may follow them. */
	leaveSocket(): void {
		this.#socket = undefined
	}

	closed(): void {
		this.#owner.responseClosed()
	}

	#cork(socket: Socket): void {
		this.#corked = socket
		socket.cork()
		uncorkAtEndOfTick(this)
	}

	#choosePath(): void {
		const res = this.#res
		const socket = socketOf(res)
		if (
			socket !== undefined &&
			res.write === nativeWrite &&
			res.headersSent &&
			!res.writableEnded &&
			(res.chunkedEncoding || (this.#req.httpVersion === '1.0' && !res.hasHeader('Content-Length'))) &&
			res.writableLength === socket.writableLength
		) {
			this.#socket = socket
			this.#chunked = res.chunkedEncoding
		}
	}

	#writeThrough(frame: Frame): boolean {
		this.#socket = undefined
		if (this.#res.writableEnded || this.#res.destroyed) return false
		this.#through ??= this.#openThrough()
		this.#through.write(frame.plain)
		if (this.#through.paused) return false
		this.#choosePath()
		return true
	}

	#openThrough(): PacedQueue {
		const res = this.#res
		// Add this listener only once: compressors forward it to their own stream, and `once` would not remove it there.
		res.on('drain', () => this.#drained())
		return new PacedQueue((bytes) => {
			if (res.writableEnded || res.destroyed) return true
			const taken: unknown = res.write(bytes)
			// Node's own `flush`, on the prototype, is another, deprecated thing.
			if (Object.hasOwn(res, 'flush')) res.flush?.()
			// A wrapper may return nothing.
			return typeof taken === 'boolean' ? taken : !res.writableNeedDrain
		})
	}

	#drained(): void {
		const through = this.#through
		if (through?.paused !== true) return
		try {
			through.drained()
			if (through.paused) return
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
		const res = this.#res
		const { last = null, leave = false } = this.#ending ?? {}
		const { socket } = this.#req
		if (leave && isNode && socket instanceof Socket) res.once('finish', () => socket.end())
		if (last === null) res.end()
		else res.end(last.plain)
		this.uncork()
	}
}

function closed(this: Http1Response): void {
	this[TRANSPORT]?.closed()
}

function leaveSocket(this: Http1Response): void {
	this[TRANSPORT]?.leaveSocket()
}

/**
 * Lets the raw form of a request's headers go: of a browser's, it is an eighth of what an idle stream keeps alive.
 * `headers` is made of it when it is first read, which must be before.
 */
function releaseRawHeaders(req: IncomingMessage): void {
	if (isNode && req instanceof IncomingMessage && req.headers !== undefined) req.rawHeaders = []
}

/** The socket under Node's own HTTP/1 response, while it is the response's turn on it. */
function socketOf(res: ServerResponse): Socket | undefined {
	return isNode && res instanceof ServerResponse && res.socket instanceof Socket ? res.socket : undefined
}

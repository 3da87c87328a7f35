import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Frame } from './frame.js'
import { NodeRequest, type RequestView } from './request.js'
import { uncorkAtEndOfTick } from './tick.js'
import { CACHE_CONTROL, CONTENT_TYPE, type Transport, type TransportOwner } from './transport.js'
import type { EvRequest, EvResponse } from './types.js'

/*
 * A Node response can be written in two ways.
 *
 * Direct: the frame, already framed as a chunk of the chunked coding, goes to the socket. It saves what
 * `res.write` spends on each client (four pieces, a mixed writev, a nextTick), which is more than half of the
 * user time of a fan-out. It is correct only while all of these hold:
 *
 *   1. The response is Node's own HTTP/1 one. HTTP/2 has no socket to write to, other runtimes only look like Node.
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
 * Through the response: everything else goes through `res.write`, and a `flush` that a compressor put on the
 * response is called after it. After each such write the direct path is tried for: a pipelined response takes
 * it when its turn has come.
 */

/** As it was before anybody could replace it on one response. */
const nativeWrite = ServerResponse.prototype.write

const HEAD = { 'Content-Type': CONTENT_TYPE, 'Cache-Control': CACHE_CONTROL, 'X-Accel-Buffering': 'no' }
/** HTTP/2 forbids the header, HTTP/1.0 has another meaning for it. */
const HEAD_1_1 = { ...HEAD, Connection: 'keep-alive' }

/** Other runtimes offer `node:http` too, but their sockets do not carry what the response writes. */
const isNode = process.release?.name === 'node' && !('bun' in process.versions) && !('Deno' in globalThis)

/** The response of HTTP/1 or, by the compatibility API, HTTP/2. `flush` is there if a compressor put it there. */
export type NodeResponse = EvResponse & { flush?: () => void; stream?: { destroyed: boolean } }

interface EmptyWritable {
	write(chunk: '', done: () => void): unknown
}

export class NodeTransport implements Transport {
	readonly #req: EvRequest
	readonly #res: NodeResponse
	/** The socket of the direct path; `undefined` while frames go through the response. */
	#socket: Socket | undefined
	#chunked = false
	/** The socket this transport has corked in this tick. */
	#corked: Socket | undefined
	/** Through the response: bytes written since `res.write` asked to pause; -1 once it has drained, -2 if it never did. */
	#refused = -2
	/** Bytes written through the response. */
	#through = 0
	#onDrain: (() => void) | undefined

	constructor(req: EvRequest, res: NodeResponse, owner: TransportOwner) {
		this.#req = req
		this.#res = res
		const gone = owner.gone.bind(owner)
		// On the response: behind a body parser the request never says `close`.
		res.on('close', gone)
		if (isNode && res instanceof ServerResponse) res.on('prefinish', this.#leaveSocket.bind(this))
		// A pipelined response that has no socket yet is not told when the client leaves.
		if (res.socket === null) {
			const { socket } = req
			socket.once('close', gone)
			res.once('close', () => socket.off('close', gone))
		}
	}

	get request(): RequestView<EvRequest> {
		return new NodeRequest(this.#req)
	}

	/** The client was gone, or the response was over, before the stream began. */
	get over(): boolean {
		const res = this.#res
		return (
			res.destroyed === true ||
			res.writableEnded ||
			res.stream?.destroyed === true ||
			(res.socket ?? this.#req.socket)?.destroyed === true
		)
	}

	get waiting(): number {
		if (this.#socket !== undefined) return this.#socket.writableLength
		const { writableLength } = this.#res
		// Behind a compressor bytes wait where nobody sees them; what was written since it asked to pause bounds them.
		if (this.#refused > writableLength && this.#res.hasHeader('Content-Encoding')) return this.#refused
		return writableLength
	}

	get exact(): boolean {
		return this.#socket !== undefined
	}

	get behind(): boolean {
		const socket = this.#socket
		if (socket !== undefined) return socket.writableLength >= socket.writableHighWaterMark
		return this.#refused >= 0
	}

	open(): void {
		const res = this.#res
		// The head and what the handler writes next become one system call.
		const socket = socketOf(res)
		if (socket !== undefined) this.#cork(socket)
		if (!res.headersSent) res.writeHead(res.statusCode, headOf(this.#req, res))
		// HTTP/2 has sent it by now.
		if (res instanceof ServerResponse) res.flushHeaders()
		releaseRawHeaders(this.#req)
		if (this.#req.method === 'HEAD') res.end()
		else this.#choosePath()
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
		this.#corked = undefined
		socket?.uncork()
	}

	flush(): void {
		this.uncork()
		const socket = socketOf(this.#res)
		// Node corks the socket for the tick when the response is written.
		if (socket !== undefined) while (socket.writableCorked > 0) socket.uncork()
	}

	onDrain(callback: () => void): void {
		const direct = this.#socket
		if (direct === undefined && this.#refused >= 0) this.#onDrain = callback
		else if (direct?.writableNeedDrain) direct.once('drain', callback)
		else {
			// Fewer bytes wait than make anybody say `drain`; an empty write is done when they are gone.
			const to: EmptyWritable = direct ?? socketOf(this.#res) ?? this.#res
			to.write('', () => callback())
		}
	}

	progress(): number {
		const socket = socketOf(this.#res)
		if (socket === undefined) return this.#through - this.waiting
		// Of one large write the kernel takes a part at a time; only the handle's queue shows that.
		return socket.bytesWritten - socket.writableLength - queueOf(socket)
	}

	end(last: Frame | null): void {
		if (this.over) return
		if (last === null) this.#res.end()
		else this.#res.end(last.plain)
		this.uncork()
	}

	reject(body: Frame): void {
		const res = this.#res
		if (this.over) return
		if (!res.headersSent) {
			res.statusCode = 401
			res.setHeader('Content-Type', CONTENT_TYPE)
			res.setHeader('Cache-Control', 'no-store')
			// RFC 9110 §15.5.2 wants a challenge; this one opens no dialog in a browser.
			if (!res.hasHeader('WWW-Authenticate')) res.setHeader('WWW-Authenticate', 'Bearer')
		}
		res.end(body.plain)
	}

	destroy(): void {
		this.#res.destroy()
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
			res instanceof ServerResponse &&
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

	/** The app has ended the response: its last bytes are written, and nothing may follow them. */
	#leaveSocket(): void {
		this.#socket = undefined
	}

	#writeThrough(frame: Frame): boolean {
		const res = this.#res
		this.#socket = undefined
		if (res.writableEnded || res.destroyed) return false
		const taken = res instanceof ServerResponse ? res.write(frame.plain) : res.write(frame.plain)
		// Node's own `flush`, on the prototype, is another, deprecated thing.
		if (Object.hasOwn(res, 'flush')) res.flush?.()
		this.#through += frame.length
		if (!taken && this.#refused < 0) {
			// Once for all times: a compressor keeps the listeners for its own stream, where `once` does not take them off.
			if (this.#refused === -2) res.on('drain', () => this.#drained())
			this.#refused = 0
		}
		if (this.#refused >= 0) this.#refused += frame.length
		else this.#choosePath()
		return taken
	}

	#drained(): void {
		if (this.#refused < 0) return
		this.#refused = -1
		const callback = this.#onDrain
		this.#onDrain = undefined
		callback?.()
	}
}

/**
 * The headers the app did not set itself. By `writeHead`: a response keeps what `setHeader` was given for as long as
 * it lives, which costs more than all of a stream's own state.
 */
function headOf(req: EvRequest, res: NodeResponse): Record<string, string> {
	const head = req.httpVersion === '1.1' ? HEAD_1_1 : HEAD
	const set = res.getHeaderNames()
	// A copy: a plugin that wraps `writeHead` may add to it what is for this client only.
	if (set.length === 0) return { ...head }
	return Object.fromEntries(
		Object.entries(head).filter(([name]) => name === 'Content-Type' || !set.includes(name.toLowerCase())),
	)
}

/**
 * Lets the raw form of a request's headers go: of a browser's, it is an eighth of what an idle stream keeps alive.
 * `headers` is made of it when it is first read, which must be before.
 */
function releaseRawHeaders(req: EvRequest): void {
	if (isNode && req instanceof IncomingMessage && req.headers !== undefined) req.rawHeaders = []
}

/** The socket under Node's own HTTP/1 response, while it is the response's turn on it. */
function socketOf(res: NodeResponse): Socket | undefined {
	return isNode && res instanceof ServerResponse && res.socket instanceof Socket ? res.socket : undefined
}

/** What libuv holds of the socket's writes. Not public; without it only whole writes count as progress. */
function queueOf(socket: Socket): number {
	const handle: unknown = Reflect.get(socket, '_handle')
	if (typeof handle !== 'object' || handle === null) return 0
	const size: unknown = Reflect.get(handle, 'writeQueueSize')
	return typeof size === 'number' ? size : 0
}

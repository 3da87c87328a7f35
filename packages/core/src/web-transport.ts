import { encodeComment, Frame } from './frame.js'
import { PacedQueue } from './paced-queue.js'
import { type RequestView, WebRequest } from './request.js'
import { type Answer, CONTENT_TYPE, HEAD, hasBody, type Transport, type TransportOwner } from './transport.js'

const OPENING = new Frame(encodeComment(''))

/** Bytes that wait in the response's stream before the producer should pause; the same as a Node socket. */
const LIMIT = 65_536

/**
 * The way to a client through a web `Response`: frames are enqueued into a plain `ReadableStream`, whose consumer
 * is the framework. A consumer that cancels is a client that left; some runtimes abort the request in its place.
 *
 * @see {@link https://streams.spec.whatwg.org/#rs-default-controller-class}
 */
export class WebTransport implements Transport {
	/** Made by `open` or `answer`. */
	readonly response: Promise<Response>
	readonly #respond: (response: Response) => void
	readonly #owner: TransportOwner
	// Held so that its signal is not collected while the stream lives (nodejs/node#55428).
	readonly #request: Request
	readonly #queue: PacedQueue
	#controller: ReadableStreamDefaultController<Uint8Array> | undefined
	#onDrain: (() => void) | undefined
	#opened: Response | undefined
	/** The stream has ended; the body is closed once its consumer has taken all of it. */
	#ending = false

	constructor(request: Request, owner: TransportOwner) {
		this.#request = request
		this.#owner = owner
		let respond: ((response: Response) => void) | undefined
		this.response = new Promise((resolve) => {
			respond = resolve
		})
		this.#respond = (response) => respond?.(response)
		this.#queue = new PacedQueue((bytes) => {
			// A copy: a consumer may transfer its chunk (a byte stream does), and that would empty everybody's.
			this.#controller?.enqueue(new Uint8Array(bytes))
			return this.#inStream < LIMIT
		})
		// Who is gone already says `abort` to nobody, and the handler still wants a response.
		if (request.signal.aborted) this.#respondWith(null, 204, {})
		else request.signal.addEventListener('abort', this.#abort, { once: true })
	}

	/** The response of a stream that was opened at once. */
	get opened(): Response | undefined {
		return this.#opened
	}

	get request(): RequestView<Request> {
		return new WebRequest(this.#request)
	}

	get over(): boolean {
		return this.#request.signal.aborted
	}

	get waiting(): number {
		return this.#queue.waiting + this.#inStream
	}

	get behind(): boolean {
		return this.#queue.paused
	}

	/** Bytes that the consumer has not taken out of the body. */
	get #inStream(): number {
		return this.#controller === undefined ? 0 : -(this.#controller.desiredSize ?? 0)
	}

	get starved(): boolean {
		return false
	}

	open(): boolean {
		const { 'Content-Type': _, ...headers } = HEAD
		if (!hasBody(this.#request.method, 200)) {
			this.#respondWith(null, 200, headers)
			this.#over()
			return false
		}
		const body = new ReadableStream<Uint8Array>(
			{
				start: (controller) => {
					this.#controller = controller
				},
				pull: () => this.#pulled(),
				cancel: () => this.#abort(),
			},
			// With a mark of 0 the stream asks for more only when its consumer waits and nothing is left.
			{ highWaterMark: 0, size: (chunk) => chunk?.byteLength ?? 0 },
		)
		this.#respondWith(body, 200, headers)
		// Some servers hold the head back until there are bytes.
		this.write(OPENING)
		return true
	}

	write(frame: Frame): boolean {
		// After a cancel enqueue would throw.
		if (this.#controller === undefined) return false
		this.#queue.write(frame.plain)
		return !this.#queue.paused
	}

	// Every enqueued chunk is handed over as it is: there is nothing to hold back for the tick.
	cork(): void {}
	uncork(): void {}
	flush(): void {}

	onDrain(callback: () => void): void {
		this.#onDrain = callback
	}

	progress(): number {
		return this.#queue.written - this.#inStream
	}

	end(last: Frame | null): void {
		if (last !== null) this.write(last)
		this.#ending = true
		this.#closeIfTaken()
	}

	answer({ status, headers, body }: Answer): void {
		if (this.#opened === undefined) this.#respondWith(body?.plain ?? null, status, headers)
		this.#over()
	}

	destroy(): void {
		const controller = this.#controller
		this.#over()
		controller?.error(new DOMException('The stream was cut off.', 'AbortError'))
	}

	/** The consumer waits, and nothing is left in the stream. */
	#pulled(): void {
		try {
			if (this.#queue.paused) this.#queue.drained()
			if (this.waiting > 0) return
			this.#closeIfTaken()
		} catch (error) {
			this.#owner.failed(error)
			return
		}
		const callback = this.#onDrain
		this.#onDrain = undefined
		callback?.()
	}

	#respondWith(body: ReadableStream | Buffer | null, status: number, headers: Answer['headers']): void {
		const type = body === null && status !== 200 ? {} : { 'Content-Type': CONTENT_TYPE }
		this.#opened = new Response(body, { status, headers: { ...type, ...headers } })
		this.#respond(this.#opened)
	}

	#closeIfTaken(): void {
		if (!this.#ending || this.waiting > 0) return
		const controller = this.#controller
		this.#over()
		controller?.close()
	}

	readonly #abort = (): void => {
		const controller = this.#controller
		this.#over()
		try {
			// Aborted but not cancelled: a consumer that still waits must not wait for ever.
			controller?.close()
		} catch {
			// It was cancelled, and is closed already.
		}
	}

	#over(): void {
		this.#controller = undefined
		this.#queue.clear()
		// Somebody may wait for the response of a client that is gone already.
		if (this.#opened === undefined) this.#respondWith(null, 204, {})
		this.#request.signal.removeEventListener('abort', this.#abort)
		this.#owner.responseClosed()
	}
}

import { encodeComment, Frame } from './frame.js'
import { type RequestView, WebRequest } from './request.js'
import { CACHE_CONTROL, CONTENT_TYPE, type Transport, type TransportOwner } from './transport.js'

const OPENING = new Frame(encodeComment(''))

/** Bytes the response's stream takes before the producer should pause; the same as a Node socket. */
const HIGH_WATER_MARK = 65_536

/**
 * The way to a client through a web `Response`: frames are enqueued into a plain `ReadableStream`, whose consumer
 * is the framework. A consumer that cancels is a client that left; some runtimes abort the request in its place.
 *
 * @see {@link https://streams.spec.whatwg.org/#rs-default-controller-class}
 */
export class WebTransport implements Transport {
	/** Made by `open` or `reject`. */
	readonly response: Promise<Response>
	readonly exact = false
	readonly #respond: (response: Response) => void
	readonly #owner: TransportOwner
	// Held so that its signal is not collected while the stream lives (nodejs/node#55428).
	readonly #request: Request
	#controller: ReadableStreamDefaultController<Uint8Array> | undefined
	#onDrain: (() => void) | undefined
	#written = 0
	#opened: Response | undefined

	constructor(request: Request, owner: TransportOwner) {
		this.#request = request
		this.#owner = owner
		let respond: ((response: Response) => void) | undefined
		this.response = new Promise((resolve) => {
			respond = resolve
		})
		this.#respond = (response) => respond?.(response)
		// Who is gone already says `abort` to nobody, and the handler still wants a response.
		if (request.signal.aborted) this.#answer(null, 204, {})
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
		return this.#controller === undefined ? 0 : HIGH_WATER_MARK - (this.#controller.desiredSize ?? 0)
	}

	get behind(): boolean {
		return this.waiting >= HIGH_WATER_MARK
	}

	open(): void {
		const body = new ReadableStream<Uint8Array>(
			{
				start: (controller) => {
					this.#controller = controller
				},
				pull: () => {
					// It is also called when something was enqueued, though nothing was taken.
					if (this.waiting > 0) return
					const callback = this.#onDrain
					this.#onDrain = undefined
					callback?.()
				},
				cancel: () => this.#abort(),
			},
			{ highWaterMark: HIGH_WATER_MARK, size: (chunk) => chunk?.byteLength ?? 0 },
		)
		this.#answer(body, 200, { 'Cache-Control': CACHE_CONTROL, 'X-Accel-Buffering': 'no' })
		if (this.#request.method === 'HEAD') this.#finish()
		// Some servers hold the head back until there are bytes.
		else this.write(OPENING)
	}

	write(frame: Frame): boolean {
		// After a cancel enqueue would throw.
		if (this.#controller === undefined) return false
		this.#written += frame.length
		this.#controller.enqueue(frame.plain)
		return !this.behind
	}

	// Every enqueued chunk is handed over as it is: there is nothing to hold back for the tick.
	cork(): void {}
	uncork(): void {}
	flush(): void {}

	onDrain(callback: () => void): void {
		this.#onDrain = callback
	}

	progress(): number {
		return this.#written - this.waiting
	}

	end(last: Frame | null): void {
		if (last !== null) this.write(last)
		this.#finish()
	}

	reject(body: Frame): void {
		this.#answer(body.plain, 401, { 'Cache-Control': 'no-store', 'WWW-Authenticate': 'Bearer' })
		this.#gone()
	}

	destroy(): void {
		const controller = this.#controller
		this.#gone()
		controller?.error(new DOMException('The stream was cut off.', 'AbortError'))
	}

	#answer(body: ReadableStream | Buffer | null, status: number, headers: Record<string, string>): void {
		this.#opened = new Response(body, { status, headers: { 'Content-Type': CONTENT_TYPE, ...headers } })
		this.#respond(this.#opened)
	}

	#finish(): void {
		const controller = this.#controller
		this.#gone()
		controller?.close()
	}

	readonly #abort = (): void => {
		const controller = this.#controller
		this.#gone()
		try {
			// Aborted but not cancelled: a consumer that still waits must not wait for ever.
			controller?.close()
		} catch {
			// It was cancelled, and is closed already.
		}
	}

	#gone(): void {
		this.#controller = undefined
		// Somebody may wait for the response of a client that is gone already.
		if (this.#opened === undefined) this.#answer(null, 204, {})
		this.#request.signal.removeEventListener('abort', this.#abort)
		this.#owner.gone()
	}
}

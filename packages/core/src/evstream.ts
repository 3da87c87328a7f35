import type { IncomingMessage } from 'node:http'
import { Authenticator } from './authentication.js'
import { nodeTransport } from './node-response.js'
import { checkStreamOptions, connectionSettings } from './options.js'
import { NodeRequest } from './request.js'
import { Stream } from './stream.js'
import { Timers } from './timers.js'
import type { EvMessage, EvOnClose, EvOptions, EvRequest, EvResponse, EvSource } from './types.js'
import { writeAll } from './write-all.js'

/** One timer for all streams that no manager holds. */
const timers = new Timers()

/**
 * One Server-Sent Events connection over Node's `IncomingMessage` and `ServerResponse` (HTTP/1.1, HTTPS, or
 * HTTP/2 by its compatibility API). Without `authentication` the head goes out at once.
 *
 * @example
 * ```ts
 * const stream = new Evstream(req, res, { heartbeat: 5000 })
 * stream.message({ event: 'connected', data: { userId: 'a-user-id' } })
 * ```
 */
export class Evstream<Req extends EvRequest = IncomingMessage> {
	readonly #stream: Stream

	/**
	 * @throws TypeError if an option has the wrong type.
	 * @throws RangeError if a number is out of its range.
	 */
	constructor(req: Req, res: EvResponse, options: EvOptions<Req> = {}) {
		checkStreamOptions(options)
		const settings = connectionSettings(options)
		this.#stream = new Stream({
			settings,
			timers,
			authenticator: Authenticator.of(options.authentication, new NodeRequest(req), settings.onError),
			connect: (owner) => nodeTransport(req, res, owner),
		})
		this.#stream.start(options.maxAge)
	}

	/** The stream has ended: the client left, or it was closed. */
	get closed(): boolean {
		return this.#stream.closed
	}

	/** The id of the last event the client had seen when it came, from `Last-Event-ID` or `?lastEventId=`. */
	get lastEventId(): string | undefined {
		return this.#stream.lastEventId
	}

	/** Aborted when the stream has ended. */
	get signal(): AbortSignal {
		return this.#stream.signal
	}

	/**
	 * Lets the client in or answers 401 with one `error` event. `true` only if `verify` gave exactly `true` (and the
	 * client is still there), `undefined` if no authentication is configured. A second call gives the first answer.
	 * Never rejects: what `verify` throws goes to `onError`.
	 */
	authenticate(): Promise<boolean | undefined> {
		return this.#stream.admit()
	}

	/**
	 * Writes one event. `true` while the client keeps up, `false` once it is behind: then `await drain()` before
	 * the next one. On a closed stream it does nothing and returns `false`.
	 *
	 * @throws EvInvalidMessageError `EV_INVALID_MESSAGE`: it cannot be framed; nothing was written.
	 * @throws EvNotAuthenticatedError `EV_NOT_AUTHENTICATED`: `authenticate()` has not let the client in.
	 */
	message(message: EvMessage): boolean {
		return this.#stream.writeMessage(message)
	}

	/** Resolves when the client has caught up, or is gone. */
	drain(): Promise<void> {
		return this.#stream.writer.drained()
	}

	/**
	 * Writes each item of an iterable, at the client's pace: for token streams. A string is a message's `data`. When
	 * the client leaves, the iterator is released (`return()`) at once. Does not close the stream.
	 *
	 * @returns `true` if all of it was written, `false` if the client left before.
	 * @throws What the iterable throws, and what {@link message} throws.
	 */
	from(source: EvSource): Promise<boolean> {
		return writeAll(this.#stream, source)
	}

	/** Sends the event `end` and ends the stream. Idempotent. */
	close(onClose?: EvOnClose): void {
		this.#stream.endByApp(onClose)
	}

	/** Calls back once when the stream has ended, however it ends; soon, if it has already. Returns its undo. */
	onClose(callback: EvOnClose): () => void {
		return this.#stream.whenEnded(callback)
	}
}

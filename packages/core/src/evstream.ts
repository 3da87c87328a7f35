import type { IncomingMessage } from 'node:http'
import { Gate } from './authentication.js'
import { NodeTransport } from './node-transport.js'
import { checkStreamOptions, connectionSettings } from './options.js'
import { NodeRequest } from './request.js'
import { Session } from './session.js'
import { Timers } from './timers.js'
import type { EvMessage, EvOnClose, EvOptions, EvRequest, EvResponse, EvSource } from './types.js'

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
	readonly #session: Session

	/**
	 * @throws TypeError if an option has the wrong type.
	 * @throws RangeError if a number is out of its range.
	 */
	constructor(req: Req, res: EvResponse, options: EvOptions<Req> = {}) {
		checkStreamOptions(options)
		const request = new NodeRequest(req)
		const settings = connectionSettings(options)
		const gate = Gate.of(options.authentication, request, settings.onError)
		this.#session = new Session(
			gate,
			options.maxAge,
			settings,
			timers,
			(owner) => new NodeTransport(req, res, owner),
		)
	}

	/** The stream has ended: the client left, or it was closed. */
	get closed(): boolean {
		return this.#session.closed
	}

	/** The id of the last event the client had seen when it came, from `Last-Event-ID` or `?lastEventId=`. */
	get lastEventId(): string | undefined {
		return this.#session.lastEventId
	}

	/** Aborted when the stream has ended. */
	get signal(): AbortSignal {
		return this.#session.signal
	}

	/**
	 * Lets the client in or answers 401 with one `error` event. `true` only if `verify` gave exactly `true` (and the
	 * client is still there), `undefined` if no authentication is configured. A second call gives the first answer.
	 * Never rejects: what `verify` throws goes to `onError`.
	 */
	authenticate(): Promise<boolean | undefined> {
		return this.#session.authenticate()
	}

	/**
	 * Writes one event. `true` while the client keeps up, `false` once it is behind: then `await drain()` before
	 * the next one. On a closed stream it does nothing and returns `false`.
	 *
	 * @throws EvInvalidMessageError `EV_INVALID_MESSAGE`: it cannot be framed; nothing was written.
	 * @throws EvNotAuthenticatedError `EV_NOT_AUTHENTICATED`: `authenticate()` has not let the client in.
	 */
	message(message: EvMessage): boolean {
		return this.#session.message(message)
	}

	/** Resolves when the client has caught up, or is gone. */
	drain(): Promise<void> {
		return this.#session.drain()
	}

	/**
	 * Writes each item of an iterable, at the client's pace: for token streams. A string is a message's `data`. When
	 * the client leaves, the iterator is released (`return()`) at once. Does not close the stream.
	 *
	 * @returns `true` if all of it was written, `false` if the client left before.
	 * @throws What the iterable throws, and what {@link message} throws.
	 */
	from(source: EvSource): Promise<boolean> {
		return this.#session.from(source)
	}

	/** Sends the event `end` and ends the stream. Idempotent. */
	close(onClose?: EvOnClose): void {
		this.#session.close(onClose)
	}

	/** Calls back once when the stream has ended, however it ends; soon, if it has already. Returns its undo. */
	onClose(callback: EvOnClose): () => void {
		return this.#session.onClose(callback)
	}
}

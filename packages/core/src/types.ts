import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'

/** A request of HTTP/1 or, by the compatibility API, HTTP/2. */
export type EvRequest = IncomingMessage | Http2ServerRequest

/** A response of HTTP/1 or, by the compatibility API, HTTP/2. */
export type EvResponse = ServerResponse | Http2ServerResponse

/** Names of events the library itself sends or its users commonly send. */
export type EvEventsType = 'data' | 'error' | 'end'

/** Any data but `undefined`. */
export type EvData = NonNullable<unknown> | null

/**
 * One server-sent event.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export interface EvMessage<T = unknown> {
	/** The event's type; a browser dispatches `message` without it. No CR or LF. */
	event?: string | EvEventsType | undefined
	/**
	 * A string is sent as it is, anything else as JSON. What JSON would change silently is refused, see
	 * {@link encodeJson}. There is always data: `undefined` has no JSON form, so send `null` or an empty string.
	 */
	data: T & EvData
	/** The event's id, which the client gives back as `Last-Event-ID`. No CR, LF or NUL; empty resets it. */
	id?: string | undefined
	/** How many ms the client waits before it reconnects. A non-negative integer. */
	retry?: number | undefined
}

/** Why a stream ended. */
export type EvCloseReason =
	/** The client left, or the network failed. */
	| 'disconnected'
	/** The app called `close()`. */
	| 'closed'
	/** `authenticate()` rejected the client. */
	| 'unauthenticated'
	/** `revalidate` found that the token is no longer good. */
	| 'revoked'
	/** The stream reached `maxAge`. */
	| 'max-age'
	/** More than `maxBuffer` bytes waited for the client. */
	| 'slow'
	/** The client took nothing for `stallTimeout`. */
	| 'stalled'
	/** The manager was closed. */
	| 'shutdown'
	/** Writing to the response threw, because a method of it was replaced, or the log could not be read. */
	| 'failed'

/**
 * Runs once when a stream has ended, with the channels it listened to and the reason. What it returns is ignored; a
 * promise that rejects is reported to `onError`.
 */
export type EvOnClose = (channels: string[], reason: EvCloseReason) => unknown

/** What `verify` may give: only exactly `true` lets the client in; a message is sent in place of the default one. */
export type EvVerifyResult = EvMessage | boolean | null | undefined

/** Token-based authentication: where the token is, and who judges it. */
export type EvAuthenticationOptions<Req = IncomingMessage> = EvRevalidate &
	(
		| {
				/** Where the token is: a query parameter (default), a header or a cookie. */
				method?: 'query' | 'cookie' | undefined
				/** The name of the query parameter or cookie. */
				param: string
				/** Judges the token. Not called if there is none, or more than one in the query. */
				verify: (token: string, req: Req) => EvVerifyResult | Promise<EvVerifyResult>
		  }
		| {
				method: 'header'
				/** The name of the header; a `Bearer ` prefix is removed. Default `authorization`. */
				param?: string | undefined
				verify: (token: string, req: Req) => EvVerifyResult | Promise<EvVerifyResult>
		  }
		| {
				/** The app looks for itself. */
				method: 'custom'
				/** Not used. Here so that `verify` is typed also when `method` is left out. */
				param?: undefined
				verify: (req: Req) => EvVerifyResult | Promise<EvVerifyResult>
		  }
	)

interface EvRevalidate {
	/** Calls `verify` again every so many ms and closes the stream (`revoked`) when it is no longer `true`. Default: never. */
	revalidate?: number | undefined
}

/** What is done about a client that takes less than it is sent. */
export type EvSlowPolicy = 'disconnect' | 'drop'

/** How a connection is kept and bounded. On a manager these are the defaults of its streams. */
export interface EvConnectionOptions {
	/** Sends the event `heartbeat` to a connection that was sent no event for so many ms. Default: off. */
	heartbeat?: number | undefined
	/** Sends a comment to a connection that wrote nothing for so many ms, so that proxies keep it. Default 15,000; `false` turns it off. */
	keepAlive?: number | false | undefined
	/** Bytes that may wait for one client in this process. Default 1 MiB. */
	maxBuffer?: number | undefined
	/** A client for which bytes wait must take some within so many ms. Default 30,000. */
	stallTimeout?: number | undefined
	/**
	 * Over `maxBuffer`: `disconnect` cuts the client (with history it resumes without loss), `drop` leaves messages
	 * out until it caught up and then sends one `reset`. Default `disconnect`.
	 */
	slow?: EvSlowPolicy | undefined
	/**
	 * Told about errors nobody waits for: a `verify` or a callback that threw. Default: a process warning. If it throws,
	 * or returns a promise that rejects, that error becomes a process warning.
	 */
	onError?: ((error: unknown) => unknown) | undefined
}

/** Options of one stream. */
export interface EvOptions<Req = IncomingMessage> extends EvConnectionOptions {
	/** Lets clients in by a token. The head waits until `authenticate()` has decided. Default: everybody may come. */
	authentication?: EvAuthenticationOptions<Req> | undefined
	/** Ends the stream cleanly, without the event `end`, after 80–100 % of so many ms (random); the client comes back. Default: never. */
	maxAge?: number | undefined
}

/** How much of a channel is kept for clients that come back. */
export interface EvRetention {
	/** The number of messages that are kept, the newest ones. */
	size: number
	/** How long they are kept, in ms. Default: 5 minutes. */
	ttl?: number | undefined
	/**
	 * The bytes they may take in this process, the oldest go first. Each counts as the UTF-8 bytes of the encoded
	 * message and 200 more. A message that is larger than this is sent but not kept. Default 64 MiB; for a channel of
	 * its own that of `history`. `Infinity` turns it off. Not used with an adapter.
	 */
	maxBytes?: number | undefined
}

/** What a manager remembers. */
export interface EvHistoryOptions extends EvRetention {
	/**
	 * The bytes that the messages of all channels may take in this process, counted as for `maxBytes`; the oldest go
	 * first, whatever their channel. Default 256 MiB. `Infinity` turns it off. Not used with an adapter.
	 */
	maxTotalBytes?: number | undefined
	/** Other values for single channels; `false` keeps nothing of one: its clients are reset when they missed something. */
	channels?: Readonly<Record<string, EvRetention | false>> | undefined
}

/** Options of one `listen`. */
export interface EvListenOptions {
	/** A client that did not come back with a position first gets the newest so many messages of the channel. Needs `history`. Default 0. */
	last?: number | undefined
}

/** What `from` takes: messages, or strings that become a message's `data`. */
export type EvSource = Iterable<EvMessage | string> | AsyncIterable<EvMessage | string>

/**
 * A stream that a manager holds. Its functions work when taken off the object:
 * `const { message, listen } = manager.createStream(req, res)`.
 */
export interface EvManagedStream<Channels extends object = Record<string, unknown>> {
	/** Names the stream on all instances: for `except` and `to`. */
	readonly id: string
	/** The stream has ended: the client left, or it was closed. */
	readonly closed: boolean
	/** The id of the last event the client had seen when it came, from `Last-Event-ID` or `?lastEventId=`. */
	readonly lastEventId: string | undefined
	/** Aborted when the stream has ended. */
	readonly signal: AbortSignal
	/**
	 * Lets the client in or answers 401 with one `error` event. `true` only if `verify` gave exactly `true` (and the
	 * client is still there), `undefined` if no authentication is configured. A second call gives the first answer.
	 */
	readonly authenticate: () => Promise<boolean | undefined>
	/**
	 * Writes one event to this client. `true` while the client keeps up, `false` once it is behind: then
	 * `await drain()` before the next one. On a closed stream it does nothing and returns `false`.
	 *
	 * Throws `EvInvalidMessageError` (`EV_INVALID_MESSAGE`) if the message cannot be framed, or brings an id while the
	 * manager has `history`; `EvNotAuthenticatedError` (`EV_NOT_AUTHENTICATED`) before `authenticate()` let the client in.
	 */
	readonly message: (message: EvMessage) => boolean
	/**
	 * Subscribes to a channel. Idempotent; no effect on a closed stream.
	 *
	 * Listen to all channels of a client in one tick: they are replayed together, in the order in which their
	 * messages were sent. One that is listened to later is replayed later, and a client that is cut before that has
	 * a position already that lies after what it missed there.
	 *
	 * Throws `EvMaxListenerError` (`EV_MAX_LISTENERS`) if the channel is full, `EvNotAuthenticatedError`
	 * (`EV_NOT_AUTHENTICATED`) before `authenticate()` let the client in.
	 */
	readonly listen: (name: keyof Channels & string, options?: EvListenOptions) => void
	/** Unsubscribes from a channel. */
	readonly unlisten: (name: keyof Channels & string) => void
	/** Resolves when the client has caught up, or is gone. */
	readonly drain: () => Promise<void>
	/**
	 * Writes each item of an iterable at the client's pace: for token streams. When the client leaves, the iterator is
	 * released at once. Resolves `true` if all of it was written; rejects with what the iterable or `message` throws.
	 */
	readonly from: (source: EvSource) => Promise<boolean>
	/** Sends the event `end` and ends the stream. Idempotent. */
	readonly close: (onClose?: EvOnClose) => void
	/** Calls back once when the stream has ended, however it ends; soon, if it has already. Returns its undo. */
	readonly onClose: (callback: EvOnClose) => () => void
}

/** Options of one `send`. */
export interface EvSendOptions {
	/**
	 * Leaves out the stream with this id, whichever instance holds it. An id names one connection: a client that
	 * reconnects has a new stream with a new id, so it may get the message on its replay. To hide a message from its
	 * sender for good, put the sender's id into `data` and let the client skip its own.
	 */
	except?: string | undefined
	/** Leaves out streams for which it is not true. Only without an adapter: other instances could not apply it. */
	filter?: ((stream: EvManagedStream) => boolean) | undefined
}

/**
 * The parameters of `send`. If `Name` is a union of names, the data must be right for each of them: which one it is, is
 * known at run time only.
 */
export type EvSendParameters<Channels extends object, Name extends keyof Channels & string> = {
	[Each in Name]: [name: Each, message: EvMessage<Channels[Each]>, options?: EvSendOptions]
}[Name]

/** What a manager counts. Plain numbers, since the manager was made unless it says "now". */
export interface EvManagerStats {
	/** Streams it holds now. */
	connections: number
	/** Streams that have ended, but whose client has not taken the last bytes yet. They count for `maxConnection`. */
	ending: number
	/** Channels that have a listener now. */
	channels: number
	/** Listeners of all channels now. */
	listeners: number
	/** Messages that were sent to channels here. */
	sent: number
	/** Messages handed to listeners here. */
	deliveries: number
	/** Bytes that wait for clients in this process now. */
	bufferedBytes: number
	/** Bytes of the history that this process keeps now; 0 with an adapter. */
	historyBytes: number
	/** Streams that were cut because the client was too slow (`slow` or `stalled`). */
	slowDisconnects: number
	/** Clients that came back with a position. */
	replays: number
	/** Times a client was told that it missed something. */
	resets: number
	/** The adapter's own counters; absent without an adapter. */
	adapter?: Readonly<Record<string, number>>
}

/** What `createResponse` gives without `authentication`. */
export interface EvWebStream<Channels extends object> {
	stream: EvManagedStream<Channels>
	/** To be returned by the handler. */
	response: Response
}

/** What `createResponse` gives with `authentication`: the response is decided by `authenticate()`. */
export interface EvAuthenticatedWebStream<Channels extends object> {
	stream: EvManagedStream<Channels>
	/** 200 and the stream, or 401; to be returned by the handler once it called `authenticate()`. */
	response: Promise<Response>
}

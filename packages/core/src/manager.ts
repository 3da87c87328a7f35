import { randomUUID } from 'node:crypto'
import { Authenticator } from './authentication.js'
import { checkName, type EvChannelData, type EvChannelProvider, type EvChannelSource } from './channel.js'
import { EvClosedError, EvMaxConnectionsError } from './errors.js'
import { encodeFields, encodeMessage, Frame, withId } from './frame.js'
import { Hub } from './hub.js'
import { ManagedStream } from './managed-stream.js'
import { type EvManagerOptions, type ManagerSettings, managerSettings } from './manager-options.js'
import { nodeTransport } from './node-response.js'
import { checkStreamOptions, connectionSettings } from './options.js'
import { formatPosition } from './position.js'
import { PositionRefresh } from './position-refresh.js'
import { refuseId } from './providers.js'
import { NodeRequest, type RequestView, WebRequest } from './request.js'
import { StreamRegistry } from './stream-registry.js'
import type { Transport, TransportOwner } from './transport.js'
import type {
	EvAuthenticatedWebStream,
	EvAuthenticationOptions,
	EvConnectionOptions,
	EvManagedStream,
	EvManagerStats,
	EvMessage,
	EvOptions,
	EvRequest,
	EvResponse,
	EvSendOptions,
	EvSendParameters,
	EvWebStream,
} from './types.js'
import { WebTransport } from './web-transport.js'

/**
 * Holds the streams of one server instance and sends to channels. `Channels` maps the name of each channel to the
 * type of its data; without it any name goes.
 *
 * @example
 * ```ts
 * const manager = new EvStreamManager<{ news: { title: string } }>({ history: { size: 1000 } })
 *
 * app.get('/events', (req, res) => {
 *   manager.createStream(req, res).listen('news')
 * })
 * manager.send('news', { event: 'news', data: { title: 'Hello' } })
 * ```
 */
export class EvStreamManager<Channels extends object = Record<string, unknown>> {
	readonly #settings: ManagerSettings
	readonly #registry: StreamRegistry<ManagedStream>
	readonly #hub: Hub
	#closing: Promise<void> | undefined
	#closed = false

	/**
	 * @throws TypeError if an option has the wrong type.
	 * @throws RangeError if a number is out of its range.
	 */
	constructor(options: EvManagerOptions = {}) {
		const settings = managerSettings(options)
		this.#settings = settings
		this.#registry = new StreamRegistry(`${settings.id}${randomUUID().slice(0, 8)}-`, settings.maxConnection)
		this.#hub = new Hub(settings, this.#registry)
		if (this.#hub.ownsIds) this.#registry.whileBusy(new PositionRefresh(this.#hub, this.#registry))
	}

	/**
	 * Takes a request as a stream. Without `authentication` the head goes out at once.
	 *
	 * @throws EvMaxConnectionsError `EV_MAX_CONNECTIONS`: there are `maxConnection` streams. Nothing was written:
	 * answer 503.
	 * @throws EvClosedError `EV_CLOSED`: the manager was closed. Nothing was written.
	 * @throws TypeError if an option has the wrong type.
	 * @throws RangeError if a number is out of its range.
	 */
	createStream<Req extends EvRequest>(
		req: Req,
		res: EvResponse,
		options: EvOptions<Req> = {},
	): EvManagedStream<Channels> {
		return this.#create(new NodeRequest(req), options, (owner) => nodeTransport(req, res, owner))
	}

	/**
	 * The same for the web: for frameworks whose handlers take a `Request` and return a `Response`.
	 *
	 * @example
	 * ```ts
	 * app.get('/events', (c) => {
	 *   const { stream, response } = manager.createResponse(c.req.raw)
	 *   stream.listen('news')
	 *   return response
	 * })
	 * ```
	 * @throws EvMaxConnectionsError `EV_MAX_CONNECTIONS`
	 * @throws EvClosedError `EV_CLOSED`
	 * @throws TypeError if an option has the wrong type.
	 * @throws RangeError if a number is out of its range.
	 */
	createResponse(
		request: Request,
		options: Omit<EvOptions<Request>, 'authentication'> & {
			authentication: EvAuthenticationOptions<Request>
		},
	): EvAuthenticatedWebStream<Channels>
	createResponse(
		request: Request,
		options?: EvOptions<Request> & { authentication?: undefined },
	): EvWebStream<Channels>
	createResponse(
		request: Request,
		options: EvOptions<Request> = {},
	): EvWebStream<Channels> | EvAuthenticatedWebStream<Channels> {
		let transport: WebTransport | undefined
		const stream = this.#create(new WebRequest(request), options, (owner) => {
			transport = new WebTransport(request, owner)
			return transport
		})
		if (transport === undefined) throw new EvClosedError('The stream')
		const { opened, response } = transport
		return opened !== undefined && options.authentication === undefined
			? { stream, response: opened }
			: { stream, response }
	}

	/**
	 * Sends a message to every listener of a channel, on every instance, in order. Resolves with the event's id (its
	 * own one, or with `history` its position) once the log has accepted it. A caller that ignores the promise is
	 * safe: errors also go to `onError`.
	 *
	 * In memory the message stands in line for every listener when `send` returns.
	 *
	 * Rejects with `EvInvalidMessageError` (`EV_INVALID_MESSAGE`) if the message cannot be framed, or brings an id
	 * while `history` is on; `EvClosedError` (`EV_CLOSED`) after `close()`; `EvUnavailableError` (`EV_UNAVAILABLE`) if
	 * the adapter's store did not accept it in time: then nobody gets it, unless it was sent and only the answer was lost.
	 *
	 * @throws TypeError if the name is not a string, or `filter` is given while there is an adapter.
	 */
	send<Name extends keyof Channels & string>(
		...parameters: EvSendParameters<Channels, Name>
	): Promise<string | undefined>
	send(name: string, message: EvMessage, options: EvSendOptions = {}): Promise<string | undefined> {
		checkName(name)
		if (options.filter !== undefined && this.#settings.adapter !== undefined) {
			throw new TypeError(
				'filter works in one process only: other instances could not apply it. Use except, or a channel.',
			)
		}
		const sent = this.#send(name, message, options)
		sent.catch((error: unknown) => this.#settings.connection.onError(error))
		return sent
	}

	/**
	 * Sends a message to the one stream with this id, whichever instance holds it. Resolves `true` if it is here;
	 * otherwise the message was handed to the adapter, if there is one. Ignoring the promise is safe.
	 *
	 * Rejects as `send` does.
	 */
	to(id: string, message: EvMessage): Promise<boolean> {
		const sent = this.#to(id, message)
		sent.catch((error: unknown) => this.#settings.connection.onError(error))
		return sent
	}

	/**
	 * Makes what a channel's listeners see first: each new one gets `snapshot()`. What is broadcast through the
	 * returned source goes to this instance's listeners, is not kept, and is conflated: a client that is behind gets
	 * only the newest. States are made of this.
	 *
	 * @throws Error if the channel has a provider already.
	 */
	provide<Name extends keyof Channels & string>(
		name: Name,
		provider: EvChannelProvider<EvChannelData<Channels, Name>>,
	): EvChannelSource<EvChannelData<Channels, Name>> {
		return this.#hub.provide(name, provider)
	}

	/** Counters, as a plain object. */
	stats(): EvManagerStats {
		const hub = this.#hub
		const registry = this.#registry
		const { adapter } = this.#settings
		return {
			connections: registry.size,
			ending: registry.ending,
			channels: hub.channels,
			listeners: hub.listeners,
			sent: hub.sent,
			deliveries: hub.deliveries,
			bufferedBytes: registry.bufferedBytes,
			historyBytes: hub.historyBytes,
			slowDisconnects: registry.slowDisconnects,
			replays: hub.replays,
			resets: hub.resets,
			...(adapter === undefined ? {} : { adapter: adapter.stats() }),
		}
	}

	/**
	 * Shuts down: takes no more streams, ends the ones there are in random order over `drainMs`, telling each client
	 * its own time to come back (`retry`, and no event `end`), and leaves the log. Resolves when no connection is left; one that does not take its
	 * last bytes within a second after the drain time is cut off. Idempotent: a second call gives the first promise.
	 *
	 * @param options - `drainMs`: over how long the closing is spread, in ms. Default 0: all at once.
	 * @throws RangeError if `drainMs` is negative.
	 */
	close({ drainMs = 0 }: { drainMs?: number | undefined } = {}): Promise<void> {
		if (typeof drainMs !== 'number') {
			throw new TypeError(`drainMs must be a number of milliseconds, not ${typeof drainMs}.`)
		}
		if (!(drainMs >= 0 && drainMs < Number.POSITIVE_INFINITY)) {
			throw new RangeError(`drainMs must be 0 or more ms, not ${drainMs}.`)
		}
		if (this.#closing !== undefined) return this.#closing
		// Set before the first stream ends: its callbacks may close the manager too.
		let close: ((closed: Promise<void>) => void) | undefined
		this.#closing = new Promise((resolve) => {
			close = resolve
		})
		close?.(this.#close(drainMs))
		return this.#closing
	}

	async #close(drainMs: number): Promise<void> {
		await this.#registry.drain(drainMs)
		this.#closed = true
		await this.#hub.close()
	}

	async #send(name: string, message: EvMessage, options: EvSendOptions): Promise<string | undefined> {
		if (this.#closed) throw new EvClosedError('The manager')
		const fields = encodeFields(message)
		const { id } = message
		const { ownsIds } = this.#hub
		if (ownsIds) refuseId(id)
		const accepted = this.#hub.append(name, id === undefined ? fields : withId(fields, id), options)
		// Awaiting what is there already would only cost a turn of the microtask queue.
		const position = accepted instanceof Promise ? await accepted : accepted
		return ownsIds ? formatPosition(position) : id
	}

	async #to(id: string, message: EvMessage): Promise<boolean> {
		if (this.#closed) throw new EvClosedError('The manager')
		if (this.#hub.ownsIds) refuseId(message.id)
		const payload = encodeMessage(message)
		const stream = this.#registry.find(id)
		if (stream !== undefined) {
			stream.writeInOrder(new Frame(payload))
			return true
		}
		await this.#hub.forward(id, payload)
		return false
	}

	#create<Req>(
		request: RequestView<Req>,
		options: EvOptions<Req>,
		connect: (owner: TransportOwner) => Transport,
	): ManagedStream {
		if (this.#closing !== undefined) throw new EvClosedError('The manager')
		checkStreamOptions(options)
		const settings = overrides(options)
			? connectionSettings(options, this.#settings.connection)
			: this.#settings.connection
		const registry = this.#registry
		if (registry.isFull) throw new EvMaxConnectionsError(registry.size + registry.ending)
		const stream = new ManagedStream(registry, this.#hub, registry.nextNumber(), {
			settings,
			timers: registry.timers,
			authenticator: Authenticator.of(options.authentication, request, settings.onError),
			connect,
		})
		registry.add(stream)
		stream.start(options.maxAge)
		return stream
	}
}

function overrides(options: EvConnectionOptions): boolean {
	return (
		options.heartbeat !== undefined ||
		options.keepAlive !== undefined ||
		options.maxBuffer !== undefined ||
		options.stallTimeout !== undefined ||
		options.slow !== undefined ||
		options.onError !== undefined
	)
}

import { beginWork, endWork } from './callbacks.js'
import {
	Channel,
	type EvChannelProvider,
	type EvChannelSource,
	restartAt,
	type Subscriber,
} from './channel.js'
import type { ClientWriter } from './client-writer.js'
import { inItsContext } from './context.js'
import { EvInvalidMessageError, EvMaxListenerError } from './errors.js'
import { FanOut } from './fan-out.js'
import { encodeMessage, Frame } from './frame.js'
import { frameOf, HistoryReader, positionFrame, resetFrame } from './history.js'
import type { Awaitable, ChannelLog, LogEntry, LogPosition, LogReceiver, ResetReason } from './log.js'
import { LogExpiry } from './log-expiry.js'
import type { ManagerSettings } from './manager-options.js'
import { MemoryLog } from './memory-log.js'
import { count } from './options.js'
import { Replay, type ReplayContext } from './replay.js'
import { now, type Timers } from './timers.js'
import type { EvListenOptions, EvMessage, EvSendOptions } from './types.js'

type Filter = NonNullable<EvSendOptions['filter']>

/** Of how many channels that a stream has left it is known what its client has. Older ones it may get again. */
const MOST_LEFT = 256

/** The streams of this instance. */
export interface StreamDirectory {
	readonly idPrefix: string
	readonly timers: Timers
	find(id: string): (Subscriber & { writeInOrder(frame: Frame): boolean }) | undefined
}

/**
 * The channels of one manager: takes what the log delivers to the streams that listen here, and brings streams
 * that begin to listen to the end of the log.
 */
export class Hub implements LogReceiver, ReplayContext {
	readonly history: HistoryReader
	/** With history ids are positions in the log, which no other id may overwrite. */
	readonly ownsIds: boolean
	/** The last entry this instance has delivered; with an adapter undefined until there is one. */
	delivered: LogPosition | undefined
	sent = 0
	replays = 0
	resets = 0
	readonly #settings: ManagerSettings
	readonly #streams: StreamDirectory
	readonly #channels = new Map<string, Channel>()
	readonly #fanOut = new FanOut()
	readonly #log: ChannelLog
	readonly #memoryLog: MemoryLog | undefined
	readonly #expiry: LogExpiry | undefined
	/** The filters of messages the in-memory log keeps: a replay must not show what they hid. */
	readonly #filters = new WeakMap<LogEntry, Filter>()
	/** The filter of the message that is being appended. */
	#filter: Filter | undefined

	constructor(settings: ManagerSettings, streams: StreamDirectory) {
		this.#settings = settings
		this.#streams = streams
		this.ownsIds = settings.retention !== undefined
		const { adapter, retention = () => ({ size: 0, ttl: 0 }), maxTotalBytes } = settings
		const options = { retention, maxTotalBytes, instance: streams.idPrefix, resumable: this.ownsIds }
		if (adapter === undefined) {
			this.#memoryLog = new MemoryLog(this, options)
			this.#log = this.#memoryLog
			this.delivered = this.#memoryLog.position
			if (this.ownsIds) this.#expiry = new LogExpiry(this.#memoryLog, streams.timers)
		} else {
			this.#log = adapter.openLog(this, options)
		}
		this.history = new HistoryReader(this.#log, {
			retention,
			isPrivate: (entry) => entry.except !== undefined || this.#filters.has(entry),
			timers: streams.timers,
		})
	}

	/** Frames handed to listeners. */
	get deliveries(): number {
		return this.#fanOut.deliveries
	}

	/** Channels that somebody listens to. */
	get channels(): number {
		let listened = 0
		for (const channel of this.#channels.values()) if (channel.size > 0) listened++
		return listened
	}

	/** Listeners of all channels. */
	get listeners(): number {
		let listeners = 0
		for (const channel of this.#channels.values()) listeners += channel.size
		return listeners
	}

	/** Bytes of the history that this process keeps. */
	get historyBytes(): number {
		return this.#memoryLog?.bytes ?? 0
	}

	/** Hands an encoded message to the log. */
	append(name: string, payload: string, { except, filter }: EvSendOptions): Awaitable<LogPosition> {
		this.#filter = filter
		this.sent++
		this.#expiry?.start()
		try {
			return this.#log.append(name, payload, except)
		} finally {
			this.#filter = undefined
		}
	}

	/** Takes a message for a stream from another instance. */
	direct(streamId: string, payload: string): void {
		this.#streams.find(streamId)?.writeInOrder(new Frame(payload))
	}

	/** Hands a message for a stream that is not here to the other instances. */
	forward(streamId: string, payload: string): Awaitable<void> {
		return this.#log.direct(streamId, payload)
	}

	/** @throws EvMaxListenerError */
	listen(stream: Subscriber, name: string, { last = 0 }: EvListenOptions): void {
		checkName(name)
		if (count('last', last, 0) > 0 && !this.ownsIds) throw new TypeError('last needs a manager with history.')
		if (stream.closed) return
		stream.requireLetIn(`listen to "${name}"`)
		if (this.#channels.get(name)?.has(stream.writer)) return
		this.#requireRoom(name)
		// The app's snapshot is asked before anything changes: it may send, listen or close itself.
		const greeting = this.#greeting(name)
		beginWork()
		try {
			this.#listen(stream, name, last, greeting)
		} finally {
			endWork()
		}
	}

	unlisten(stream: Subscriber, name: string): void {
		const channel = this.#channels.get(name)
		if (channel === undefined || !channel.has(stream.writer)) return
		beginWork()
		try {
			this.#fanOut.flush()
			if (stream.closed) return
			this.#rememberLeft(stream, channel)
			stream.channels = stream.channels.filter((other) => other !== channel)
			this.#remove(stream, channel)
		} finally {
			endWork()
		}
	}

	/** The stream has ended. */
	leave(stream: Subscriber): void {
		for (const channel of stream.channels) this.#remove(stream, channel)
	}

	/** @throws Error if the channel has a provider already. */
	provide(name: string, given: EvChannelProvider): EvChannelSource {
		checkName(name)
		const channel = this.#channels.get(name) ?? this.#add(name)
		if (channel.provider !== undefined) {
			throw new Error(
				`The channel "${name}" has a provider already. Close that state first, or use another channel.`,
			)
		}
		const { snapshot } = given
		const provider = snapshot === undefined ? {} : { snapshot: inItsContext(snapshot.bind(given)) }
		channel.provider = provider
		return {
			broadcast: (message) => {
				if (channel.provider === provider) this.#broadcast(channel, this.#unnumbered(message))
			},
			close: () => {
				if (channel.provider !== provider) return
				channel.provider = undefined
				this.#forgetIfUnused(channel)
			},
		}
	}

	/** Tells a stream for which messages were left out where it goes on. */
	recovered(stream: Subscriber): void {
		const { replaying } = stream
		// What a replay writes waits for the client, so nothing of it was left out: it goes on where it is.
		this.#reset(stream, replaying?.holds === true ? replaying.position : this.delivered, 'slow')
	}

	/** Writes the messages of this tick now. */
	flush(): void {
		this.#fanOut.flush()
	}

	mayGet(stream: Subscriber, entry: LogEntry): boolean {
		if (entry.except !== undefined && entry.except === stream.id) return false
		const filter = this.#filters.get(entry)
		return filter === undefined || this.#passes(filter, stream)
	}

	/** Tells a live stream on whose channels nothing was delivered since `silentSince` where it stands now. */
	refreshPosition(stream: Subscriber, silentSince: number): void {
		const { delivered } = this
		if (delivered === undefined || stream.replaying !== undefined || stream.writer.behind) return
		if (stream.channels.length === 0 || stream.told === delivered) return
		if (stream.channels.some(({ lastDelivery }) => lastDelivery > silentSince)) return
		this.#fanOut.flush()
		if (stream.writer.writeCorked(positionFrame(delivered), now())) stream.told = delivered
	}

	count(what: 'replays' | 'resets'): void {
		this[what]++
	}

	onError(error: unknown): void {
		this.#settings.connection.onError(error)
	}

	deliver(entry: LogEntry): void {
		beginWork()
		try {
			this.#deliver(entry)
		} finally {
			endWork()
		}
	}

	reset(name: string, position: LogPosition, reason: ResetReason): void {
		// Positions of the epoch before count for nothing any more.
		if (this.delivered?.epoch !== position.epoch) this.delivered = position
		const channel = this.#channels.get(name)
		if (channel === undefined) return
		beginWork()
		try {
			this.#fanOut.flush()
			for (const replaying of channel.replaying.values()) replaying.gap(position)
			// A log resets all channels at one position: one reset is enough for a stream that listens to many of them.
			for (const stream of channel.listeners.values()) {
				if (stream.told !== position) this.#reset(stream, position, reason)
			}
		} finally {
			endWork()
		}
	}

	caughtUp(position: LogPosition): void {
		const { delivered } = this
		if (delivered?.epoch === position.epoch && delivered.seq >= position.seq) return
		beginWork()
		try {
			this.delivered = position
			for (const channel of this.#channels.values()) {
				// A newcomer begins here, and not where the channel was subscribed days ago.
				if (channel.since !== undefined && !(channel.since instanceof Promise)) channel.since = position
				for (const replaying of channel.replaying.values()) replaying.caughtUp()
			}
		} finally {
			endWork()
		}
	}

	error(error: unknown): void {
		this.onError(error)
	}

	close(): Awaitable<void> {
		this.#channels.clear()
		this.#expiry?.stop()
		return this.#log.close()
	}

	#listen(stream: Subscriber, name: string, last: number, greeting: Frame | undefined): void {
		// First, as it may end streams that are too slow: this one, or the channel's last listener and the channel.
		this.#fanOut.flush()
		if (stream.closed) return
		const channel = this.#channels.get(name) ?? this.#add(name)
		const { writer } = stream
		if (channel.has(writer)) return
		// A spread would leave room for sixteen more, which every idle stream would keep.
		stream.channels = stream.channels.concat(channel)
		this.#subscribe(channel)
		if (greeting !== undefined) writer.writeNewest(channel, greeting, now())
		if (stream.closed) return
		if (this.ownsIds) {
			stream.replaying ??= new Replay(this, stream)
			stream.replaying.add(channel, last)
		} else {
			channel.listeners.set(writer, stream)
		}
	}

	#deliver(entry: LogEntry): void {
		this.delivered = entry
		const filter = this.#filter === undefined ? undefined : inItsContext(this.#filter)
		// What the filter sends itself is another message.
		this.#filter = undefined
		if (filter !== undefined && this.ownsIds) this.#filters.set(entry, filter)
		const channel = this.#channels.get(entry.channel)
		if (channel === undefined) return
		// What is hidden from some does not tell them where they stand.
		const isForAll = entry.except === undefined && filter === undefined
		if (this.ownsIds && isForAll) channel.lastDelivery = now()
		if (channel.replaying.size > 0) for (const replaying of channel.replaying.values()) replaying.live(entry)
		if (channel.listeners.size === 0) return
		const frame = this.ownsIds ? frameOf(entry) : new Frame(entry.payload)
		if (isForAll) this.#fanOut.push(channel, frame)
		else this.#fanOut.pushTo(channel, frame, () => this.#selection(channel, entry.except, filter))
	}

	/** Asks the filter about each listener, outside of any loop that writes. */
	#selection(
		channel: Channel,
		except: string | undefined,
		filter: Filter | undefined,
	): (writer: ClientWriter) => boolean {
		const left = except === undefined ? undefined : this.#streams.find(except)?.writer
		if (filter === undefined) return (writer) => writer !== left
		const allowed = new Set<ClientWriter>()
		for (const [writer, stream] of [...channel.listeners])
			if (this.#passes(filter, stream)) allowed.add(writer)
		return (writer) => writer !== left && allowed.has(writer)
	}

	/** A filter may keep a secret: one that throws shows nothing. */
	#passes(filter: Filter, stream: Subscriber): boolean {
		try {
			return filter(stream) === true
		} catch (error) {
			this.onError(error)
			return false
		}
	}

	#broadcast(channel: Channel, frame: Frame): void {
		beginWork()
		try {
			this.#fanOut.flush()
			const time = now()
			for (const writer of channel.listeners.keys()) {
				if (writer.writeNewest(channel, frame, time)) this.#fanOut.deliveries++
			}
			// They have had a snapshot; what came since is theirs too, however long the log takes.
			for (const writer of channel.replaying.keys()) {
				if (writer.writeNewest(channel, frame, time)) this.#fanOut.deliveries++
			}
		} finally {
			endWork()
		}
	}

	#reset(stream: Subscriber, position: LogPosition | undefined, reason: ResetReason): void {
		this.resets++
		const known = this.ownsIds ? position : undefined
		stream.told = position
		if (this.ownsIds) restartAt(stream, known)
		stream.writer.writeCorked(resetFrame(known, reason), now())
	}

	/** So that it does not get twice what it has, if it listens to the channel again. */
	#rememberLeft(stream: Subscriber, channel: Channel): void {
		if (!this.ownsIds || stream.lastEventId === undefined) return
		const { replaying } = stream
		const has = replaying?.holds === true ? replaying.positionOf(channel) : this.delivered
		if (has === undefined) return
		stream.past ??= { restart: undefined, left: new Map() }
		const { left } = stream.past
		left.set(channel.name, has)
		const [oldest] = left.size > MOST_LEFT ? left.keys() : []
		if (oldest !== undefined) left.delete(oldest)
	}

	/** @throws EvMaxListenerError */
	#requireRoom(name: string): void {
		const listeners = this.#channels.get(name)?.size ?? 0
		if (listeners >= this.#settings.maxListeners) throw new EvMaxListenerError(listeners, name)
	}

	#greeting(name: string): Frame | undefined {
		const snapshot = this.#channels.get(name)?.provider?.snapshot?.()
		return snapshot === undefined ? undefined : this.#unnumbered(snapshot)
	}

	/** A frame that is not in the log. @throws EvInvalidMessageError if it brings an id that belongs to the log. */
	#unnumbered(message: EvMessage): Frame {
		if (this.ownsIds) refuseId(message.id)
		return new Frame(encodeMessage(message))
	}

	#add(name: string): Channel {
		const channel = new Channel(name)
		this.#channels.set(name, channel)
		return channel
	}

	#subscribe(channel: Channel): void {
		if (channel.since !== undefined) return
		const since = this.#log.subscribe(channel.name)
		channel.since = since
		if (!(since instanceof Promise)) return
		since.then(
			(position) => {
				if (channel.since === since) channel.since = position
			},
			(error: unknown) => {
				// Nobody may be listening any more: then there is nothing to report.
				if (channel.since !== since || this.#channels.get(channel.name) !== channel) return
				channel.since = undefined
				this.#log.unsubscribe(channel.name)
				this.onError(error)
			},
		)
	}

	#remove(stream: Subscriber, channel: Channel): void {
		const { writer } = stream
		channel.listeners.delete(writer)
		channel.replaying.get(writer)?.leave(channel)
		writer.forgetNewest(channel)
		if (channel.size > 0) return
		if (channel.since !== undefined) this.#unsubscribe(channel)
		channel.since = undefined
		this.#forgetIfUnused(channel)
	}

	/** A stream that ends must leave all its channels, whatever an adapter does. */
	#unsubscribe({ name }: Channel): void {
		try {
			this.#log.unsubscribe(name)
		} catch (error) {
			this.onError(error)
		}
	}

	#forgetIfUnused(channel: Channel): void {
		if (channel.size > 0 || channel.provider !== undefined) return
		if (this.#channels.get(channel.name) === channel) this.#channels.delete(channel.name)
	}
}

/** With history ids are positions in the log, which no other id may overwrite. @throws EvInvalidMessageError */
export function refuseId(id: string | undefined): void {
	if (id === undefined) return
	throw new EvInvalidMessageError(
		'With history ids are positions in the log: send the message without an id.',
	)
}

/** @throws TypeError if the name is not a string. */
export function checkName(name: unknown): asserts name is string {
	if (typeof name !== 'string') throw new TypeError(`A channel's name must be a string, not ${typeof name}.`)
}

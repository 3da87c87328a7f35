import { beginWork, endWork } from './callbacks.js'
import {
	type Channel,
	checkName,
	type EvChannelProvider,
	type EvChannelSource,
	type Subscriber,
} from './channel.js'
import { ChannelSet } from './channel-set.js'
import { inItsContext } from './context.js'
import { EvMaxListenerError } from './errors.js'
import { FanOut } from './fan-out.js'
import { Frame } from './frame.js'
import { frameOf, HistoryReader, resetFrame } from './history.js'
import type { Awaitable, ChannelLog, LogEntry, LogPosition, LogReceiver, ResetReason } from './log.js'
import { LogExpiry } from './log-expiry.js'
import type { ManagerSettings } from './manager-options.js'
import { MemoryLog } from './memory-log.js'
import { count } from './options.js'
import { rememberLeft, restartAt } from './past.js'
import { covers, later } from './position.js'
import { Providers } from './providers.js'
import { Replay } from './replay.js'
import type { ReplayContext } from './replay-context.js'
import { now, type Timers } from './timers.js'
import type { EvListenOptions, EvSendOptions } from './types.js'
import { type Filter, Visibility } from './visibility.js'

/** The streams of this instance. */
export interface StreamDirectory {
	readonly idPrefix: string
	readonly timers: Timers
	find(id: string): (Subscriber & { writeInOrder(frame: Frame): boolean }) | undefined
}

/**
 * The channels of one manager: writes what the log delivers to the streams that listen here, and brings streams
 * that begin to listen to the end of the log.
 */
export class Hub implements LogReceiver, ReplayContext {
	readonly history: HistoryReader
	/** With history ids are positions in the log, which no other id may overwrite. */
	readonly ownsIds: boolean
	/** Everything up to here has been delivered; with an adapter `undefined` until it follows a channel. */
	delivered: LogPosition | undefined
	sent = 0
	replays = 0
	resets = 0
	/** The last entry that was delivered: every live stream has everything up to it. */
	#lastEntry: LogPosition | undefined
	readonly #settings: ManagerSettings
	readonly #streams: StreamDirectory
	readonly #channels: ChannelSet
	readonly #fanOut = new FanOut()
	readonly #log: ChannelLog
	readonly #memoryLog: MemoryLog | undefined
	readonly #expiry: LogExpiry | undefined
	readonly #visibility: Visibility
	readonly #providers: Providers
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
		const { onError } = settings.connection
		this.#channels = new ChannelSet(this.#log, onError)
		this.#providers = new Providers(this.#channels, this.#fanOut, this.ownsIds)
		const visibility = new Visibility({ find: (id) => streams.find(id), onError })
		this.#visibility = visibility
		this.history = new HistoryReader(this.#log, {
			retention,
			isPrivate: (entry) => visibility.isPrivate(entry),
			timers: streams.timers,
		})
	}

	/** Frames handed to listeners. */
	get deliveries(): number {
		return this.#fanOut.deliveries
	}

	/** Channels that somebody listens to. */
	get channels(): number {
		return this.#channels.listened
	}

	/** Listeners of all channels. */
	get listeners(): number {
		return this.#channels.listeners
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
		if (!this.#mayListen(stream, name)) return
		// The app's snapshot is asked before anything changes. It may send, listen or close itself, so look again.
		const greeting = this.#providers.greeting(name)
		if (!this.#mayListen(stream, name)) return
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
			const has = this.#positionOn(stream, channel)
			if (this.ownsIds && has !== undefined) rememberLeft(stream, name, has)
			stream.channels = stream.channels.filter((other) => other !== channel)
			this.#channels.remove(stream, channel)
		} finally {
			endWork()
		}
	}

	/** The stream has ended. */
	leave(stream: Subscriber): void {
		for (const channel of stream.channels) this.#channels.remove(stream, channel)
	}

	/** @throws Error if the channel has a provider already. */
	provide(name: string, provider: EvChannelProvider): EvChannelSource {
		return this.#providers.provide(name, provider)
	}

	/** Tells a stream for which messages were left out where it goes on. */
	recovered(stream: Subscriber): void {
		const { replaying } = stream
		// What a replay writes waits for the client, so nothing of it was left out: it goes on where it is.
		const position = replaying?.holds === true ? replaying.position : this.positionOf(stream)
		this.#reset(stream, position, 'slow')
	}

	/** Writes the messages of this tick now. */
	flush(): void {
		this.#fanOut.flush()
	}

	/** Whether the stream may see the entry. */
	mayGet(stream: Subscriber, entry: LogEntry): boolean {
		return this.#visibility.mayGet(stream, entry)
	}

	/** Up to where a stream that is live has everything. */
	positionOf(stream: Subscriber): LogPosition | undefined {
		const { told } = stream
		return told === undefined ? this.delivered : later(told, this.#lastEntry, this.delivered?.epoch)
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
		// A newcomer must not begin at a position of an epoch that is over.
		if (this.delivered?.epoch !== position.epoch) this.delivered = position
		const channel = this.#channels.get(name)
		if (channel === undefined) return
		beginWork()
		try {
			this.#fanOut.flush()
			this.#channels.skip(channel, position)
			for (const replaying of channel.replaying.values()) replaying.gap(position)
			for (const stream of channel.listeners.values()) {
				// One reset tells of all channels: the client may have been told when another channel was reset.
				if (!covers(stream.told, position)) this.#reset(stream, position, reason)
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
			this.#channels.caughtUp(position)
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

	/** Whether there is anything to do for a `listen`. @throws EvMaxListenerError if the channel is full. */
	#mayListen(stream: Subscriber, name: string): boolean {
		if (stream.closed) return false
		stream.requireLetIn(`listen to "${name}"`)
		const channel = this.#channels.get(name)
		if (channel?.has(stream.writer) === true) return false
		const listeners = channel?.size ?? 0
		if (listeners >= this.#settings.maxListeners) throw new EvMaxListenerError(listeners, name)
		return true
	}

	#listen(stream: Subscriber, name: string, last: number, greeting: Frame | undefined): void {
		// First, as it may end streams that are too slow: this one, or the channel's last listener and the channel.
		this.#fanOut.flush()
		if (stream.closed) return
		const channel = this.#channels.getOrAdd(name)
		const { writer } = stream
		// A spread would leave room for sixteen more, which every idle stream would keep.
		stream.channels = stream.channels.concat(channel)
		this.#channels.follow(channel, () => {
			this.delivered ??= this.#channels.start
		})
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
		// An epoch that begins without a reset goes on where the one before it ended.
		if (this.delivered !== undefined && this.delivered.epoch !== entry.epoch) this.#channels.goOnFrom(entry)
		this.delivered = entry
		this.#lastEntry = entry
		const filter = this.#filter === undefined ? undefined : inItsContext(this.#filter)
		if (filter !== undefined && this.ownsIds) this.#visibility.keep(entry, filter)
		const channel = this.#channels.get(entry.channel)
		if (channel === undefined) return
		// A message that is hidden from some streams does not tell them where they stand.
		const isForAll = entry.except === undefined && filter === undefined
		if (this.ownsIds && isForAll) channel.lastDelivery = now()
		if (channel.replaying.size > 0) for (const replaying of channel.replaying.values()) replaying.live(entry)
		if (channel.listeners.size === 0) return
		const frame = this.ownsIds ? frameOf(entry) : new Frame(entry.payload)
		if (isForAll) this.#fanOut.push(channel, frame)
		else this.#fanOut.pushTo(channel, frame, () => this.#visibility.select(channel, entry.except, filter))
	}

	#reset(stream: Subscriber, position: LogPosition | undefined, reason: ResetReason): void {
		this.resets++
		const known = this.ownsIds ? position : undefined
		stream.told = position
		if (this.ownsIds) restartAt(stream, known)
		stream.writer.writeCorked(resetFrame(known, reason), now())
	}

	/** Up to where the client has everything of a channel of the stream, if that is known. */
	#positionOn(stream: Subscriber, channel: Channel): LogPosition | undefined {
		const isLive = channel.listeners.has(stream.writer)
		return isLive ? this.positionOf(stream) : stream.replaying?.positionOf(channel)
	}
}

import type { ClientWriter } from './client-writer.js'
import type { Awaitable, LogEntry, LogPosition } from './log.js'
import type { Past } from './past.js'
import type { EvCloseReason, EvManagedStream, EvMessage } from './types.js'

/** What a new listener of a channel gets first. @see `EvStreamManager.provide` */
export interface EvChannelProvider<T = unknown> {
	/** What a new listener gets first, without an id; `undefined` for nothing. Called for each `listen`. */
	snapshot?: (() => EvMessage<T> | undefined) | undefined
}

/** The data of a channel. For a union of names it must be right for each of them. */
export type EvChannelData<Channels extends object, Name extends keyof Channels> = [
	{ [Each in Name]: (data: Channels[Each]) => void }[Name],
] extends [(data: infer Data) => void]
	? Data
	: never

/** The provider's side of a channel. */
export interface EvChannelSource<T = unknown> {
	/**
	 * Writes a message to this instance's listeners. It is not kept and has no id; a client that is behind gets only
	 * the newest one. No effect after `close()`.
	 *
	 * @throws EvInvalidMessageError `EV_INVALID_MESSAGE`: it cannot be framed, or brings an id while the manager has
	 * `history`; nothing was written.
	 */
	broadcast(message: EvMessage<T>): void
	/** Lets another provider have the channel. Idempotent. */
	close(): void
}

/** A stream as its channels see it. */
export interface Subscriber extends EvManagedStream {
	readonly writer: ClientWriter
	/** The channels it listens to; once it has ended, those it listened to then. */
	channels: readonly Channel[]
	/** Brings it to the end of the log. `undefined` while it is live on all its channels. */
	replaying: Replaying | undefined
	/** With history: the last position that the client was told in an event of its own. It gets everything after it. */
	told: LogPosition | undefined
	/** With history, of a client that came back: what is known of its messages beside its `Last-Event-ID`. */
	past: Past | undefined
	/** @throws EvNotAuthenticatedError */
	requireLetIn(action: string): void
	end(reason: EvCloseReason, last: null): void
}

/** Brings a stream to the end of the log. The stream counts as a listener of the channels already. */
export interface Replaying {
	/** Only this writes frames with an id to the stream. */
	readonly holds: boolean
	/** Up to here the client has everything, if it has anything. */
	readonly position: LogPosition | undefined
	/** Up to here the client has everything of the channel, if that is known. */
	positionOf(channel: Channel): LogPosition | undefined
	/** A live entry of one of its channels. The stream may become a listener in this call, and then gets it as one. */
	live(entry: LogEntry): void
	/** This instance has delivered more than it had. */
	caughtUp(): void
	/** Live entries of one of its channels up to `position` were lost. */
	gap(position: LogPosition): void
	/** Adds a channel, with its `last` newest messages if the client came without a position. */
	add(channel: Channel, last: number): void
	/** Removes a channel. */
	leave(channel: Channel): void
}

/**
 * A name, and who listens to it on this instance. With history a stream is either a listener of all its channels, or
 * it is replaying and a listener of none: so ids can only rise on a connection.
 */
export class Channel {
	/** Writers that get every message at once, and their streams. The fan-out iterates it in place. */
	readonly listeners: Map<ClientWriter, Subscriber> = new Map()
	/** Writers of streams that replay, and their replays. */
	readonly replaying: Map<ClientWriter, Replaying> = new Map()
	provider: EvChannelProvider | undefined
	/** The position from which on this instance gets every entry; set while anybody listens. */
	since: Awaitable<LogPosition> | undefined
	/** When this instance delivered its last entry that everybody may see. */
	lastDelivery = 0

	constructor(readonly name: string) {}

	/** Whether the stream of the writer listens. */
	has(writer: ClientWriter): boolean {
		return this.listeners.has(writer) || this.replaying.has(writer)
	}

	/** The position from which on this instance gets every entry; `undefined` while that is not certain. */
	get certainSince(): LogPosition | undefined {
		return this.since instanceof Promise ? undefined : this.since
	}

	/** How many streams listen. */
	get size(): number {
		return this.listeners.size + this.replaying.size
	}
}

/** @throws TypeError if the name is not a string, or has half of a surrogate pair. */
export function checkName(name: unknown): asserts name is string {
	if (typeof name !== 'string') throw new TypeError(`A channel's name must be a string, not ${typeof name}.`)
	if (name.isWellFormed()) return
	// UTF-8 has no form for it: on the way to a client or a store it becomes U+FFFD, and names that differ become one.
	throw new TypeError(`A channel's name has half of a surrogate pair: ${JSON.stringify(name)}.`)
}

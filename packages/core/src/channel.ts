import type { ClientWriter } from './client-writer.js'
import type { Awaitable, LogEntry, LogPosition } from './log.js'
import type { EvCloseReason, EvManagedStream, EvMessage } from './types.js'

/** What first greets the listeners of a channel. @see `EvStreamManager.provide` */
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
	/** Gives the channel free for another provider. Idempotent. */
	close(): void
}

/** A stream as its channels see it. */
export interface Subscriber extends EvManagedStream {
	readonly writer: ClientWriter
	/** The channels it listens to; once it has ended, those it listened to then. */
	channels: readonly Channel[]
	/** Brings it to the end of the log; `undefined` while it is live on all its channels. */
	replaying: Replaying | undefined
	/** The client was told that it stands here, and gets what comes later. Without history only by a reset. */
	told: LogPosition | undefined
	/** With history, of a client that came back: what else is known of what it has. */
	past: Past | undefined
	/** @throws EvNotAuthenticatedError */
	requireLetIn(action: string): void
	end(reason: EvCloseReason, last: null): void
}

/** What a client that came back has, beside what its `Last-Event-ID` says. */
export interface Past {
	/** It was reset here: what was before does not count for it any more. */
	restart: LogPosition | undefined
	/** Channels it does not listen to any more → up to where it has them. */
	readonly left: Map<string, LogPosition>
}

/** Brings a stream to the end of the log. The stream counts as a listener of the channels already. */
export interface Replaying {
	/** Nothing with an id is written to the stream but by this. */
	readonly holds: boolean
	/** Up to here the client has everything, if it has anything. */
	readonly position: LogPosition | undefined
	/** Up to here the client has everything of the channel, if that is known. */
	positionOf(channel: Channel): LogPosition | undefined
	/** A live entry of a channel it waits for. It may become a listener at this moment, and get it as one. */
	live(entry: LogEntry): void
	/** This instance has delivered more than it had. */
	caughtUp(): void
	/** Live entries of one of its channels up to `position` were lost. */
	gap(position: LogPosition): void
	/** Wants a channel too, with so many of its newest messages if the client came without a position. */
	add(channel: Channel, last: number): void
	/** Does not want the channel any more. */
	leave(channel: Channel): void
}

/**
 * A name, and who listens to it on this instance. With history a stream is either a listener of all its channels, or
 * it is replaying and a listener of none: so ids can only rise on a connection.
 */
export class Channel {
	/** Writers that get every message at once, and the streams they are of. The fan-out iterates it in place. */
	readonly listeners: Map<ClientWriter, Subscriber> = new Map()
	readonly replaying: Map<ClientWriter, Replaying> = new Map()
	provider: EvChannelProvider | undefined
	/** The position from which on this instance gets every entry; set while anybody listens. */
	since: Awaitable<LogPosition> | undefined
	/** When its last entry that was for everybody was delivered here. */
	lastDelivery = 0

	constructor(readonly name: string) {}

	/** Whether the stream of the writer listens. */
	has(writer: ClientWriter): boolean {
		return this.listeners.has(writer) || this.replaying.has(writer)
	}

	/** How many streams listen. */
	get size(): number {
		return this.listeners.size + this.replaying.size
	}
}

/** The client was told that it missed something: what was before `position` does not count for it any more. */
export function restartAt(stream: Subscriber, position: LogPosition | undefined): void {
	if (stream.lastEventId !== undefined) stream.past = { restart: position, left: new Map() }
}

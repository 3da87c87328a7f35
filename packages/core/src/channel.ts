import type { Connection } from './connection.js'
import type { Awaitable, LogEntry, LogPosition } from './log.js'
import type { EvMessage } from './types.js'

/** What first greets the listeners of a channel. @see `EvStreamManager.provide` */
export interface EvChannelProvider {
	/** What a new listener gets first, without an id; `undefined` for nothing. Called for each `listen`. */
	snapshot?: (() => EvMessage | undefined) | undefined
}

/** The provider's side of a channel. */
export interface EvChannelSource {
	/**
	 * Writes a message to this instance's listeners. It is not kept and has no id; a client that is behind gets only
	 * the newest one.
	 *
	 * @throws EvInvalidMessageError `EV_INVALID_MESSAGE`: it cannot be framed; nothing was written.
	 */
	broadcast(message: EvMessage): void
	/** Gives the channel free for another provider. Idempotent. */
	close(): void
}

/** A stream that will be a listener once it has caught up with the log. It counts as one already. */
export interface Joining {
	/** A live entry of a channel it waits for. It may become a listener at this moment, and get it as one. */
	live(entry: LogEntry): void
	/** Live entries of the channel up to `position` were lost. It may become a listener there now, and be reset as one. */
	gap(channel: unknown, position: LogPosition): void
	/** It does not want the channel any more. */
	leave(channel: unknown): void
}

/** A name, and who listens to it on this instance. */
export class Channel<Stream = unknown> {
	/** Connections that get every message at once, and the streams they are of. The fan-out iterates it in place. */
	readonly listeners: Map<Connection, Stream> = new Map()
	readonly joining: Map<Connection, Joining> = new Map()
	provider: EvChannelProvider | undefined
	/** The position from which on this instance gets every entry; set while anybody listens. */
	since: Awaitable<LogPosition> | undefined

	constructor(readonly name: string) {}

	/** Whether the stream of the connection listens. */
	has(connection: Connection): boolean {
		return this.listeners.has(connection) || this.joining.has(connection)
	}

	/** How many streams listen. */
	get size(): number {
		return this.listeners.size + this.joining.size
	}
}

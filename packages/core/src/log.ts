/**
 * The channel log: what orders, numbers, remembers and replays messages. The in-memory log is its executable
 * specification; the Redis adapter implements the same contract, proved by the same suite
 * (`@evstream/core/contract`).
 */

/** A value, or a promise of it: memory answers at once, a store over the network later. */
export type Awaitable<T> = T | Promise<T>

/**
 * A point in a log. `seq` is one counter for all channels of the log, so one position covers every channel of a
 * connection. `epoch` names the counter: positions of two epochs cannot be compared.
 */
export interface LogPosition {
	/** `[A-Za-z0-9._]{1,64}`. */
	readonly epoch: string
	/** 0 before the first message; a safe integer. */
	readonly seq: number
}

/** One accepted message. */
export interface LogEntry {
	readonly channel: string
	readonly epoch: string
	readonly seq: number
	/**
	 * No message of the channel lies between `prev` and `seq`: the `seq` of the message before this one, or a higher
	 * one if the log has forgotten it; 0 if there was none. Who has not seen `prev` has a hole.
	 */
	readonly prev: number
	/** The encoded fields without the id, as `encodeFields` makes them. */
	readonly payload: string
	/** The id of the one stream that does not get it. */
	readonly except?: string | undefined
}

/** Why a log cannot give everything after a position. */
export type ResetReason =
	/** Entries after the position are no longer kept. */
	| 'trimmed'
	/** The position was given by another counter: a restart, or a store that lost its data. */
	| 'epoch'
	/** The position was never given out. */
	| 'future'
	/** The id is not a position at all. */
	| 'invalid'
	/** The client was too slow and messages were left out (`slow: 'drop'`). */
	| 'slow'
	/** This instance missed messages and the log could not give them any more. */
	| 'gap'

/** What a read gives. */
export interface LogPage {
	/** Everything up to here, on the channels asked for, is in `entries` or was before the start. */
	readonly upTo: LogPosition
	/** In order of `seq`. Empty if `reset` is set. */
	readonly entries: readonly LogEntry[]
	/** There is more after `upTo`: read on from there. */
	readonly more: boolean
	/** Set if the log cannot give everything after the start: then it gives nothing. */
	readonly reset?: ResetReason | undefined
}

/** Where a read begins: after a position, or a number of the newest entries of each channel (0: none). */
export type LogStart = { readonly after: LogPosition } | { readonly last: number }

/** Who gets what a log delivers. Every call happens in the log's order; none of them may throw. */
export interface LogReceiver {
	/** An entry of a subscribed channel, each one once, in order of `seq`, with no hole in a channel. */
	deliver(entry: LogEntry): void
	/** Entries of the channel are lost to this instance; it goes on after `position`. */
	reset(channel: string, position: LogPosition, reason: ResetReason): void
	/** A message for one stream, sent from another instance. */
	direct(streamId: string, payload: string): void
	/** Something went wrong that nobody waits for. */
	error(error: unknown): void
}

/** How much a log keeps of a channel. */
export interface LogRetention {
	/** The number of messages. 0 keeps nothing. */
	readonly size: number
	/** How long, in ms. */
	readonly ttl: number
}

/** @see {@link LogPosition} for the vocabulary. */
export interface ChannelLog {
	/**
	 * Accepts a message: gives it the next `seq`, keeps it as the retention says and delivers it to every
	 * subscriber, the own one among them. An accepted message is delivered exactly once.
	 *
	 * @throws EvUnavailableError if the store did not accept it before the deadline. Nobody gets it then, unless it was
	 * sent and only the answer was lost: then everybody may.
	 */
	append(channel: string, payload: string, except?: string): Awaitable<LogPosition>
	/**
	 * From here on the receiver gets the channel's entries. Resolves once that is certain, with the position from
	 * which on it is: every later entry will be delivered.
	 */
	subscribe(channel: string): Awaitable<LogPosition>
	/** The receiver gets no more of the channel. */
	unsubscribe(channel: string): void
	/**
	 * Reads the channels merged by `seq`. Complete or nothing: if the log cannot prove that it still has
	 * everything after the start it gives `reset`. It may stop early (`more`) to bound its memory.
	 */
	read(channels: readonly string[], start: LogStart): Awaitable<LogPage>
	/** Hands a message for a stream to the other instances. */
	direct(streamId: string, payload: string): Awaitable<void>
	/** Ends all subscriptions. Idempotent. */
	close(): Awaitable<void>
}

/** Options a manager opens a log with. */
export interface LogOptions {
	/** How much to keep of the channel. Asked at each append. */
	retention(channel: string): LogRetention
	/** Begins the ids of this instance's streams, up to and with their last `-`: where `direct` finds them. */
	readonly instance: string
	/** Clients resume by positions. If not, a log keeps only what it needs to repair its own holes. */
	readonly resumable: boolean
}

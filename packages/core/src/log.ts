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

/**
 * One page of a read. A log bounds it by entries and by bytes, so that a page of large messages is no larger in memory
 * than one of small ones; it has at least one entry if there is one.
 */
export interface LogPage {
	/**
	 * Everything up to here, on the channels asked for, is in `entries` or was before the start. The `seq` of the last
	 * entry if there is `more`, else the head of the log.
	 */
	readonly upTo: LogPosition
	/** In order of `seq`. Empty if `reset` is set. */
	readonly entries: readonly LogEntry[]
	/** There is more after `upTo`. To read on, pass `{ after: page.upTo, since: page.since }`. */
	readonly more: boolean
	/**
	 * Set on a page with `more` if the read began with `last` or had a `since`: where each channel begins. What is
	 * appended between two pages is read on as well: the newest entries as of the first page, then everything after.
	 */
	readonly since?: ReadonlyMap<string, number> | undefined
	/** Set if the log cannot return everything after the start: then it returns nothing. */
	readonly reset?: ResetReason | undefined
}

/** Where a read begins. */
export type LogStart =
	| {
			/** Every entry after this position. */
			readonly after: LogPosition
			/**
			 * Of a channel named here only entries after this `seq` are asked for, and what lies before it does not count
			 * as missing.
			 */
			readonly since?: ReadonlyMap<string, number> | undefined
	  }
	| {
			/** How many of the newest entries of each channel; a channel that is not in the map: none. */
			readonly last: number | ReadonlyMap<string, number>
	  }

/** Who gets what a log delivers. Every call happens in the log's order; none of them may throw. */
export interface LogReceiver {
	/** An entry of a subscribed channel, each one once, in order of `seq`, with no hole in a channel. */
	deliver(entry: LogEntry): void
	/** Entries of the channel are lost to this instance; it goes on after `position`. */
	reset(channel: string, position: LogPosition, reason: ResetReason): void
	/**
	 * Everything up to here was delivered, on every channel for which `subscribe` has resolved: nothing that is delivered
	 * later lies before it. Within an epoch it never goes back. A log over the network calls it at least every two minutes
	 * while it reaches its store; a log that has delivered what it accepted when `append` returns need not.
	 */
	caughtUp?(position: LogPosition): void
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
	/** The bytes its entries may take. Without it there is no such bound. */
	readonly maxBytes?: number | undefined
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
	 * everything after the start it returns `reset`. It stops early (`more`) to bound the page.
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
	/** The bytes the entries of all channels may take, for a log that keeps them in this process. Default: no such bound. */
	readonly maxTotalBytes?: number | undefined
	/** Begins the ids of this instance's streams, up to and with their last `-`: where `direct` finds them. */
	readonly instance: string
	/** Clients resume by positions. If not, a log keeps only what it needs to repair its own holes. */
	readonly resumable: boolean
}

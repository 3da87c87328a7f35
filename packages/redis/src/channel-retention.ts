import type { LogOptions } from '@evstream/core'

/** What the log keeps of a channel, as its scripts take it. */
export interface ChannelRetention {
	readonly size: number
	/** In ms. */
	readonly ttl: number
	/** 0: no such bound. */
	readonly maxBytes: number
}

/** What is kept of a channel that keeps nothing for clients, to repair this instance's own holes. */
const REPAIR: ChannelRetention = { size: 1_000, ttl: 60_000, maxBytes: 0 }
/**
 * The longest stream Redis is asked for: some servers read `MAXLEN` as a number of 32 bits. An endless history means
 * this, which is more than fits into the memory of a node.
 */
const MOST = 2 ** 31 - 1
/** The longest time Redis is asked to keep something, in ms: some 300 years. */
const LONGEST = 1e13

/** What to keep of a channel; `undefined` if this manager has no history, so that others decide. */
export function channelRetention(options: LogOptions, channel: string): ChannelRetention | undefined {
	if (!options.resumable) return undefined
	const { size, ttl, maxBytes = Number.POSITIVE_INFINITY } = options.retention(channel)
	if (size === 0 || maxBytes === 0) return REPAIR
	return {
		size: Math.min(size, MOST),
		ttl: Math.ceil(Math.min(ttl, LONGEST)),
		maxBytes: Number.isFinite(maxBytes) ? Math.ceil(Math.min(maxBytes, Number.MAX_SAFE_INTEGER)) : 0,
	}
}

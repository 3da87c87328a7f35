import type { ChannelLog, LogOptions, LogReceiver } from './log.js'
import type { StateStore } from './state-store.js'

/** What connects the states of several instances. */
export interface EvStateAdapter {
	/** The store all instances share. */
	readonly states: StateStore
}

/** What connects the managers of several instances. */
export interface EvAdapter {
	/** Opens the log all instances share. Each manager opens its own; the connections under them are shared. */
	openLog(receiver: LogReceiver, options: LogOptions): ChannelLog
	/** `true` while what is published is known to arrive. */
	readonly healthy: boolean
	/** Counters for `manager.stats()`. */
	stats(): Readonly<Record<string, number>>
}

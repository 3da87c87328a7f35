import type { EvAdapter } from './adapter.js'
import type { LogRetention } from './log.js'
import { type ConnectionSettings, connectionSettings, count, historySettings } from './options.js'
import type { EvConnectionOptions, EvHistoryOptions } from './types.js'

/** Options of a manager. Those of {@link EvConnectionOptions} are the defaults of its streams. */
export interface EvManagerOptions extends EvConnectionOptions {
	/** A prefix for the ids of its streams. Default: none. */
	id?: string | undefined
	/** The most streams it holds. Default 5000. */
	maxConnection?: number | undefined
	/** The most listeners of one channel on this instance. Default 5000. */
	maxListeners?: number | undefined
	/** Keeps the newest messages of each channel, so that clients that come back miss nothing. Default: off. */
	history?: EvHistoryOptions | undefined
	/** Connects the channels of several instances. Default: this process alone. */
	adapter?: EvAdapter | undefined
}

/** {@link EvManagerOptions}, checked and complete. */
export interface ManagerSettings {
	readonly id: string
	readonly maxConnection: number
	readonly maxListeners: number
	readonly connection: ConnectionSettings
	readonly adapter: EvAdapter | undefined
	/** How much is kept of a channel. Undefined without history. */
	readonly retention: ((channel: string) => LogRetention) | undefined
	/** The bytes that the history of all channels may take in memory. Undefined without history. */
	readonly maxTotalBytes: number | undefined
}

/**
 * @throws TypeError if an option has the wrong type.
 * @throws RangeError if a number is out of its range.
 */
export function managerSettings(options: EvManagerOptions): ManagerSettings {
	if (typeof options !== 'object' || options === null) throw new TypeError('The options must be an object.')
	const { id = '', maxConnection = 5000, maxListeners = 5000, history, adapter } = options
	if (typeof id !== 'string') throw new TypeError(`id must be a string, not ${typeof id}.`)
	if (adapter !== undefined && typeof adapter?.openLog !== 'function') {
		throw new TypeError('adapter must be an adapter for channels, like EvRedisAdapter.')
	}
	const kept = history === undefined ? undefined : historySettings(history)
	return {
		id: id === '' ? '' : `${id}-`,
		maxConnection: count('maxConnection', maxConnection, 0),
		maxListeners: count('maxListeners', maxListeners, 0),
		connection: connectionSettings(options),
		adapter,
		retention: kept?.retention,
		maxTotalBytes: kept?.maxTotalBytes,
	}
}

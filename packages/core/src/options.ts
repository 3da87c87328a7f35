import { inItsContext } from './context.js'
import type { LogRetention } from './log.js'
import { safeOnError } from './safe-on-error.js'
import type { EvConnectionOptions, EvHistoryOptions, EvOptions, EvRetention, EvSlowPolicy } from './types.js'

/** {@link EvConnectionOptions}, checked and complete. One object serves all connections that share them. */
export interface ConnectionSettings {
	readonly heartbeat: number | undefined
	readonly keepAlive: number | undefined
	readonly maxBuffer: number
	readonly stallTimeout: number
	readonly slow: EvSlowPolicy
	/** Never throws. */
	readonly onError: (error: unknown) => void
}

const DEFAULTS: ConnectionSettings = {
	heartbeat: undefined,
	keepAlive: 15_000,
	maxBuffer: 1_048_576,
	stallTimeout: 30_000,
	slow: 'disconnect',
	onError: safeOnError(),
}

/**
 * @throws TypeError if an option has the wrong type.
 * @throws RangeError if a number is out of its range.
 */
export function connectionSettings(
	options: EvConnectionOptions,
	defaults: ConnectionSettings = DEFAULTS,
): ConnectionSettings {
	const { heartbeat, keepAlive, maxBuffer, stallTimeout, slow, onError } = options
	if (slow !== undefined && slow !== 'disconnect' && slow !== 'drop') {
		throw new TypeError(`slow must be 'disconnect' or 'drop', not ${String(slow)}.`)
	}
	if (onError !== undefined && typeof onError !== 'function')
		throw new TypeError('onError must be a function.')
	return {
		heartbeat: heartbeat === undefined ? defaults.heartbeat : milliseconds('heartbeat', heartbeat),
		keepAlive:
			keepAlive === undefined
				? defaults.keepAlive
				: keepAlive === false
					? undefined
					: milliseconds('keepAlive', keepAlive),
		maxBuffer: maxBuffer === undefined ? defaults.maxBuffer : count('maxBuffer', maxBuffer, 0),
		stallTimeout:
			stallTimeout === undefined ? defaults.stallTimeout : milliseconds('stallTimeout', stallTimeout),
		slow: slow ?? defaults.slow,
		onError: onError === undefined ? defaults.onError : safeOnError(inItsContext(onError)),
	}
}

/** Checks what {@link connectionSettings} does not: `authentication` and `maxAge`. Throws alike. */
export function checkStreamOptions<Req>(options: EvOptions<Req>): void {
	if (typeof options !== 'object' || options === null) throw new TypeError('The options must be an object.')
	const { authentication, maxAge } = options
	if (maxAge !== undefined) milliseconds('maxAge', maxAge)
	if (authentication === undefined) return
	if (typeof authentication !== 'object' || authentication === null) {
		throw new TypeError('authentication must be an object with verify.')
	}
	if (typeof authentication.verify !== 'function')
		throw new TypeError('authentication.verify must be a function.')
	if (authentication.revalidate !== undefined)
		milliseconds('authentication.revalidate', authentication.revalidate)
	const { method = 'query' } = authentication
	if (!['query', 'header', 'cookie', 'custom'].includes(method)) {
		throw new TypeError(
			`authentication.method must be query, header, cookie or custom, not ${String(method)}.`,
		)
	}
	if (authentication.method === 'custom') return
	const { param } = authentication
	if (method === 'header' ? param !== undefined && typeof param !== 'string' : typeof param !== 'string') {
		throw new TypeError(`authentication.param must name the ${method} that holds the token.`)
	}
}

/** {@link EvHistoryOptions}, checked and complete. */
export interface HistorySettings {
	/** How much is kept of a channel. */
	readonly retention: (channel: string) => BoundedRetention
	/** The bytes that all channels may take. */
	readonly maxTotalBytes: number
}

/** Checks what a manager remembers. Throws as {@link connectionSettings} does. */
export function historySettings(history: EvHistoryOptions): HistorySettings {
	if (typeof history !== 'object' || history === null) throw new TypeError('history must be { size, ttl }.')
	const general = retention('history', history, 64 * 1_048_576)
	const special = new Map<string, BoundedRetention>()
	for (const [name, value] of Object.entries(history.channels ?? {})) {
		special.set(
			name,
			value === false
				? { ...general, size: 0 }
				: retention(`history.channels.${name}`, value, general.maxBytes),
		)
	}
	const { maxTotalBytes = 256 * 1_048_576 } = history
	return {
		retention: (channel) => special.get(channel) ?? general,
		maxTotalBytes: count('history.maxTotalBytes', maxTotalBytes, 1),
	}
}

interface BoundedRetention extends LogRetention {
	readonly maxBytes: number
}

function retention(
	name: string,
	{ size, ttl = 300_000, maxBytes }: EvRetention,
	defaultMaxBytes: number,
): BoundedRetention {
	return {
		size: count(`${name}.size`, size, 1),
		ttl: milliseconds(`${name}.ttl`, ttl),
		maxBytes: maxBytes === undefined ? defaultMaxBytes : count(`${name}.maxBytes`, maxBytes, 1),
	}
}

/** A positive number of milliseconds. */
export function milliseconds(name: string, value: unknown): number {
	if (typeof value !== 'number')
		throw new TypeError(`${name} must be a number of milliseconds, not ${typeof value}.`)
	if (!Number.isFinite(value) || value <= 0)
		throw new RangeError(`${name} must be more than 0 ms, not ${value}.`)
	return value
}

/** A whole number that is not below `least`. */
export function count(name: string, value: unknown, least: number): number {
	if (typeof value !== 'number') throw new TypeError(`${name} must be a number, not ${typeof value}.`)
	if (value !== Number.POSITIVE_INFINITY && !Number.isSafeInteger(value)) {
		throw new RangeError(`${name} must be a whole number, not ${value}.`)
	}
	if (value < least) throw new RangeError(`${name} must be at least ${least}, not ${value}.`)
	return value
}

/** The literal codes an {@link EvError} can carry. */
export type EvErrorCode =
	| 'EV_MAX_CONNECTIONS'
	| 'EV_MAX_LISTENERS'
	| 'EV_INVALID_MESSAGE'
	| 'EV_NOT_AUTHENTICATED'
	| 'EV_CLOSED'
	| 'EV_UNAVAILABLE'
	| 'EV_CONFLICT'

/**
 * The base of every error this library makes. Tell errors apart by {@link EvError.code}, which never changes
 * and survives two copies of the package in one process, where `instanceof` does not.
 */
export class EvError extends Error {
	/** The name of the class. A literal, because a bundler may rename the class itself. */
	override readonly name: string = 'EvError'
	/** What went wrong, as a stable literal. */
	readonly code: EvErrorCode

	constructor(code: EvErrorCode, message: string, options?: ErrorOptions) {
		super(message, options)
		this.code = code
	}
}

/** `EV_MAX_CONNECTIONS`: the manager holds `maxConnection` streams. Nothing was written: answer 503. */
export class EvMaxConnectionsError extends EvError {
	override readonly name: string = 'EvMaxConnectionsError'
	/** How many connections there were. */
	readonly connections: number

	constructor(connections: number) {
		super(
			'EV_MAX_CONNECTIONS',
			`The manager already holds ${connections} connections. Answer 503, or raise maxConnection.`,
		)
		this.connections = connections
	}
}

/** `EV_MAX_LISTENERS`: the channel has `maxListeners` listeners. */
export class EvMaxListenerError extends EvError {
	override readonly name: string = 'EvMaxListenerError'
	/** How many listeners the channel had. */
	readonly listeners: number
	/** The name of the channel. */
	readonly channel: string

	constructor(listeners: number, channel: string) {
		super(
			'EV_MAX_LISTENERS',
			`The channel "${channel}" already has ${listeners} listeners. Close the stream, or raise maxListeners.`,
		)
		this.listeners = listeners
		this.channel = channel
	}
}

/** `EV_INVALID_MESSAGE`: the message cannot be framed so that a client gets it back unchanged. Nothing was written. */
export class EvInvalidMessageError extends EvError {
	override readonly name: string = 'EvInvalidMessageError'

	constructor(message: string, options?: ErrorOptions) {
		super('EV_INVALID_MESSAGE', message, options)
	}
}

/** `EV_NOT_AUTHENTICATED`: the stream has `authentication` and `authenticate()` has not let it in. */
export class EvNotAuthenticatedError extends EvError {
	override readonly name: string = 'EvNotAuthenticatedError'

	constructor(action: string) {
		super(
			'EV_NOT_AUTHENTICATED',
			`Cannot ${action} before the client is authenticated. Await authenticate() and go on only if it returned true.`,
		)
	}
}

/** `EV_CLOSED`: the object was closed and takes nothing any more. */
export class EvClosedError extends EvError {
	override readonly name: string = 'EvClosedError'

	constructor(what: string) {
		super('EV_CLOSED', `${what} is closed. Create a new one, or stop using it once close() was called.`)
	}
}

/** `EV_UNAVAILABLE`: the store could not be reached before the deadline. Nothing was delivered only locally. */
export class EvUnavailableError extends EvError {
	override readonly name: string = 'EvUnavailableError'

	constructor(message: string, options?: ErrorOptions) {
		super('EV_UNAVAILABLE', message, options)
	}
}

/** `EV_CONFLICT`: a compare-and-set lost against other writers until its deadline. */
export class EvConflictError extends EvError {
	override readonly name: string = 'EvConflictError'

	constructor(message: string, options?: ErrorOptions) {
		super('EV_CONFLICT', message, options)
	}
}

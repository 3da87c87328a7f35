/** The literal codes the errors of this package carry. */
export type RedisBusErrorCode = 'EV_CLOSED' | 'EV_UNAVAILABLE'

/** `EV_CLOSED`: the object was closed and takes nothing any more. Tell it by its `code`. */
export class EvClosedError extends Error {
	override readonly name: string = 'EvClosedError'
	/** What went wrong, as a stable literal. */
	readonly code: 'EV_CLOSED' = 'EV_CLOSED'

	constructor(what: string) {
		super(`${what} is closed. Create a new one, or stop using it once close() was called.`)
	}
}

/** `EV_UNAVAILABLE`: Redis could not be reached, or did not answer, before the deadline. Tell it by its `code`. */
export class EvUnavailableError extends Error {
	override readonly name: string = 'EvUnavailableError'
	/** What went wrong, as a stable literal. */
	readonly code: 'EV_UNAVAILABLE' = 'EV_UNAVAILABLE'
}

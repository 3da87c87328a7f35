/** What is checked. */
export const CHECKS = [
	/** On a connection the places of ids never fall, and a message of a channel comes once, with its id. */
	'ids',
	/** Nothing is missing before something later of the same channel, or at the end. */
	'complete',
	/** No id passes a message of another channel that was not written yet. */
	'passed',
	/** Without history: messages come in the order of the calls. */
	'order',
	/** Data arrives as it was sent, and only to whom it was sent. */
	'content',
	/** A client that reads is never cut or reset as slow, or as stalled. */
	'slow',
	/** Nobody is reset who could be given everything. */
	'reset',
	/** What waits is bounded. */
	'memory',
	/** No uncaught error, no warning, no error that nobody threw. */
	'errors',
	/** `onClose` and `signal`: once, with a true reason. */
	'ends',
	/** A client that reads gets what it is owed. */
	'owed',
	/** At the end nothing is left, and `close()` resolves within its bound. */
	'left',
] as const
export type Check = (typeof CHECKS)[number]

/** Something that is not as it should be. */
export interface Fault {
	readonly check: Check
	readonly text: string
}

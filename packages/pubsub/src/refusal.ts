/** Tells a server that only reads, as after a failover, by its error. Nothing was executed. */
export function isReadOnlyError(error: unknown): boolean {
	return error instanceof Error && error.message.includes('READONLY')
}

/** Before Redis 7 the code stands inside the error of a script, behind a dash. */
const REFUSES_WRITES = /(^|[\s-])(READONLY|OOM|MISCONF|NOREPLICAS) /

/**
 * Tells a server that takes no write whatsoever: it is a replica, its memory is full, it cannot save, or it has too
 * few replicas.
 */
export function refusesWrites(error: unknown): error is Error {
	return error instanceof Error && REFUSES_WRITES.test(error.message)
}

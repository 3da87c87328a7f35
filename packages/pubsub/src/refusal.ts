/** Tells a server that only reads, as after a failover, by its error. Nothing was executed. */
export function isReadOnlyError(error: unknown): boolean {
	return error instanceof Error && error.message.includes('READONLY')
}

/** Before Redis 7 the code stands inside the error of a script, behind a dash. */
const REFUSES_WRITES = /(^|[\s-])(READONLY|OOM|MISCONF|NOREPLICAS) /

/**
 * The code of an answer which says that the server takes no write whatsoever: it is a replica, its memory is full, it
 * cannot save, or it has too few replicas. `undefined` for any other error.
 */
export function refusalCode(error: unknown): string | undefined {
	return error instanceof Error ? REFUSES_WRITES.exec(error.message)?.[2] : undefined
}

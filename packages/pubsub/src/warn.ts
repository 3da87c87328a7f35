/** Where errors go that nobody asked for: visible, and never the end of the process. */
export function warn(error: unknown): void {
	process.emitWarning(error instanceof Error ? error : String(error))
}

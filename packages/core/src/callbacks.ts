/*
 * Callbacks of the app never run in the middle of the library's own work: not within a loop over listeners, and not
 * between a message's number and its place in line. They may send, listen, unlisten or close, and each of these
 * would then happen out of order. Work is everything between `beginWork` and `endWork`. Callbacks that fall due
 * within it run when the outermost piece of work has ended, still before its caller goes on.
 */
let depth = 0
let due: (() => void)[] = []

/** Begins a piece of work; `endWork` must follow, whatever happens. */
export function beginWork(): void {
	depth++
}

/** Ends a piece of work. The outermost one runs the callbacks that fell due in it. */
export function endWork(): void {
	if (depth > 1 || due.length === 0) {
		depth--
		return
	}
	depth = 0
	const callbacks = due
	due = []
	// A callback may begin work of its own, which runs what falls due there by itself.
	for (const callback of callbacks) callback()
}

/** Runs a callback of the app as soon as no work is going on. It must not throw. */
export function callBack(callback: () => void): void {
	if (depth === 0) callback()
	else due.push(callback)
}

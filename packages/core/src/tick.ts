import { beginWork, endWork } from './callbacks.js'
import { outside } from './context.js'

/** Written to at most once a tick: what is held back until then is let go by `uncork`. */
export interface Corkable {
	uncork(): void
}

/** Has work that belongs before the end of the tick. */
export interface TickWork {
	endTick(): void
}

/*
 * The end of a tick has three phases. First the work: runs of channel messages are joined and written. Then every
 * corked connection is let go, so that all a tick produced for it, from whichever source, is one system call. Last,
 * callbacks of the app that fell due in the first two.
 */
let work: TickWork[] = []
let corked: Corkable[] = []
let scheduled = false

function schedule(): void {
	if (scheduled) return
	scheduled = true
	process.nextTick(outside, endTick)
}

/** Calls `endTick` once before this tick ends. The caller sees to it that it is added once. */
export function atEndOfTick(item: TickWork): void {
	work.push(item)
	schedule()
}

/** Calls `uncork` once when this tick ends. The caller sees to it that it is added once. */
export function uncorkAtEndOfTick(item: Corkable): void {
	corked.push(item)
	schedule()
}

function endTick(): void {
	beginWork()
	// Work may bring more work: it belongs to this tick too.
	while (work.length > 0) {
		const items = work
		work = []
		for (const item of items) {
			try {
				item.endTick()
			} catch (error) {
				surface(error)
			}
		}
	}
	scheduled = false
	const items = corked
	corked = []
	for (const item of items) {
		try {
			item.uncork()
		} catch (error) {
			surface(error)
		}
	}
	endWork()
}

/** Items do not throw. If one does all the same, the others must not go without their turn. */
function surface(error: unknown): void {
	queueMicrotask(() => {
		throw error
	})
}

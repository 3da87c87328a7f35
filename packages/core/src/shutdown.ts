import { Frame } from './frame.js'
import type { Stream } from './stream.js'
import { Deadline, now, type Timers } from './timers.js'

/** After the drain time a client has so many ms to take its last bytes. */
const GRACE = 1_000
/** How often streams are closed during the drain time, in ms. */
const STEP = 20
/** How many are closed before the event loop gets a turn. */
const SLICE = 200
/** A client that is told to come back waits at least so many ms, and at most as many more as the drain lasts, or this. */
const RETRY = 1_000

/**
 * Closes the streams in random order, evenly over `drainMs`, and tells each client its own random time to come
 * back, so that neither the closing nor the return is one storm. Resolves when every response is over; the ones
 * whose clients do not take their last bytes are cut off.
 */
export function drainStreams(
	streams: readonly Stream[],
	ending: ReadonlySet<Stream>,
	timers: Timers,
	drainMs: number,
): Promise<void> {
	const waiting = shuffled([...streams])
	const total = waiting.length
	const start = now()
	const spread = Math.max(drainMs, RETRY)

	return new Promise((resolve) => {
		const step = (time: number): number | undefined => {
			const share = drainMs === 0 ? 1 : Math.min((time - start) / drainMs, 1)
			// Those whose clients left meanwhile are not waited for.
			while (waiting.at(-1)?.closed) waiting.pop()
			const left = Math.floor(total * (1 - share))
			for (let closed = 0; closed < SLICE && waiting.length > left; closed++) {
				const retry = Math.round(RETRY + Math.random() * spread)
				waiting.pop()?.end('shutdown', comeBack(retry))
			}
			if (waiting.length > left) return time + 1
			if (time - start >= drainMs + GRACE) {
				for (const stream of ending) stream.destroy()
			}
			if (waiting.length > 0 || ending.size > 0) return time + STEP
			resolve()
			return undefined
		}
		const again = step(start)
		if (again !== undefined) timers.add(new Deadline(step), again)
	})
}

/** No `end` event: pages take it for the end of the stream and would not come back. */
function comeBack(retry: number): Frame {
	return new Frame(`retry:${retry}\n\n`)
}

function shuffled<T>(items: T[]): T[] {
	for (let last = items.length - 1; last > 0; last--) {
		const other = Math.floor(Math.random() * (last + 1))
		const [a, b] = [items[last], items[other]]
		if (a !== undefined && b !== undefined) {
			items[last] = b
			items[other] = a
		}
	}
	return items
}

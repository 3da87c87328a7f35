import type { Deque } from './deque.js'
import type { LogEntry } from './log.js'

/** The most entries of a page. */
const MAX_ENTRIES = 1_000
/** The length of the payloads of a page, in UTF-16 units; a single entry may be longer. */
const MAX_LENGTH = 65_536

/** A channel's entries, from one of them on. */
export interface Cursor {
	/** The next one. */
	entry: LogEntry
	/** Where that is in `kept`. */
	index: number
	readonly kept: Deque<{ readonly entry: LogEntry }>
}

/**
 * Merges channels by `seq`, as far as one page goes. Each entry costs the logarithm of the number of channels: a
 * binary heap has the channel with the lowest `seq` on top.
 *
 * @param heap - A cursor for each channel that has an entry. It is used up.
 * @returns The entries, and whether there are more.
 */
export function mergePage(heap: Cursor[]): { entries: LogEntry[]; more: boolean } {
	for (let at = (heap.length >> 1) - 1; at >= 0; at--) siftDown(heap, at)
	const entries: LogEntry[] = []
	let length = 0
	for (;;) {
		const [top] = heap
		if (top === undefined) return { entries, more: false }
		length += top.entry.payload.length
		if (entries.length === MAX_ENTRIES || (length > MAX_LENGTH && entries.length > 0)) {
			return { entries, more: true }
		}
		entries.push(top.entry)
		const next = top.kept.at(++top.index)?.entry
		if (next !== undefined) {
			top.entry = next
		} else {
			const last = heap.pop()
			if (last !== undefined && last !== top) heap[0] = last
		}
		siftDown(heap, 0)
	}
}

function siftDown(heap: Cursor[], from: number): void {
	const moved = heap[from]
	if (moved === undefined) return
	let at = from
	for (;;) {
		let down = 2 * at + 1
		let child = heap[down]
		if (child === undefined) break
		const right = heap[down + 1]
		if (right !== undefined && right.entry.seq < child.entry.seq) {
			down++
			child = right
		}
		if (child.entry.seq >= moved.entry.seq) break
		heap[at] = child
		at = down
	}
	heap[at] = moved
}

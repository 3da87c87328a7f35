import type { Frame } from './frame.js'
import type { Stream } from './stream.js'
import { nextTurn } from './turn.js'
import type { EvMessage, EvSource } from './types.js'

/** A source that always has the next item at once is left for a turn of the event loop after this time, in ms. */
const SLICE = 5

/**
 * Writes each item of an iterable at the client's pace, so that none is left out whatever the stream does about slow
 * clients. Resolves `true` if all of it was written; releases the iterator as soon as the stream ends.
 */
export async function writeAll(stream: Stream, source: EvSource): Promise<boolean> {
	const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
	let leave: (() => void) | undefined
	const forget = stream.whenEnded(() => leave?.())
	let finished = false
	let sliceEnd = performance.now() + SLICE
	try {
		while (!stream.closed) {
			// A promise for each step: one that lives as long as the stream would collect a reaction for each.
			const result = await new Promise<IteratorResult<EvMessage | string> | undefined>((resolve, reject) => {
				leave = () => resolve(undefined)
				Promise.resolve(iterator.next()).then(resolve, reject)
			})
			if (result === undefined) break
			if (result.done === true) {
				finished = true
				return true
			}
			const { value } = result
			const frame = stream.frameOf(typeof value === 'string' ? { data: value } : value)
			if (!(await writeWhenTaken(stream, frame))) break
			if (performance.now() < sliceEnd) continue
			await nextTurn()
			sliceEnd = performance.now() + SLICE
		}
		return false
	} finally {
		forget()
		// A generator that waits for its own source ends when that source does; the stream does not wait for it.
		if (!finished) release(iterator, stream.writer.settings.onError)
	}
}

/** Writes a frame once the client is not behind, and waits until it is not again. `false`: the stream ended before. */
async function writeWhenTaken(stream: Stream, frame: Frame): Promise<boolean> {
	const { writer } = stream
	let written = false
	while (!stream.closed) {
		if (writer.behind) await writer.drained()
		else if (written) return true
		// Channel messages of this tick go out first, and may be what makes the client fall behind.
		else written = stream.writeInOrder(frame)
	}
	return written
}

function release(
	iterator: Iterator<unknown> | AsyncIterator<unknown>,
	onError: (error: unknown) => void,
): void {
	try {
		Promise.resolve(iterator.return?.()).catch(onError)
	} catch (error) {
		onError(error)
	}
}

import type { Link, Listener } from './links.js'

/** Reads a web response in this process, as a framework does. */
export function readResponse(
	answered: Promise<Response>,
	abort: AbortController,
	how: { paused: boolean; abortsRequest: boolean },
	to: Listener,
): Link {
	let { paused } = how
	let isOver = false
	let isReading = false
	let reader: ReadableStreamDefaultReader<Uint8Array> | undefined
	const over = (clean: boolean): void => {
		if (isOver) return
		isOver = true
		to.onOver(clean)
	}
	const read = async (): Promise<void> => {
		if (isReading || reader === undefined) return
		isReading = true
		try {
			while (!paused && !isOver) {
				const { done, value } = await reader.read()
				if (isOver) break
				if (done) over(true)
				else to.onBytes(value)
			}
		} catch {
			over(false)
		}
		isReading = false
	}
	answered.then(
		(response) => {
			if (isOver) {
				void response.body?.cancel()
				return
			}
			to.onHead(response.status)
			reader = response.body?.getReader()
			if (reader === undefined) over(true)
			else void read()
		},
		() => over(false),
	)
	return {
		pause() {
			paused = true
		},
		resume() {
			paused = false
			void read()
		},
		cut() {
			isOver = true
			if (how.abortsRequest || reader === undefined) abort.abort()
			else reader.cancel().catch(() => {})
		},
	}
}

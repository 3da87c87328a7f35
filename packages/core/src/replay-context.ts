import type { Subscriber } from './channel.js'
import type { HistoryPage, HistoryReader } from './history.js'
import type { Awaitable, LogEntry, LogPosition } from './log.js'

/** What a replay needs of its manager. */
export interface ReplayContext {
	readonly history: HistoryReader
	/** A position up to which this instance has delivered everything; `undefined` until one is known. */
	readonly delivered: LogPosition | undefined
	/** Up to where a stream that is live has everything. */
	positionOf(stream: Subscriber): LogPosition | undefined
	/** Writes the channel messages of this tick, before the set of listeners changes. */
	flush(): void
	/** Whether the stream may see the entry. */
	mayGet(stream: Subscriber, entry: LogEntry): boolean
	count(what: 'replays' | 'resets'): void
	onError(error: unknown): void
}

/** Writes what was read, once the client has taken what was written before. */
export type Step = () => void

/** The step after which there is nothing to write. */
export const NOTHING: Step = () => {}

/** A step that writes a page, as soon as the log has answered. */
export function withPage(page: Awaitable<HistoryPage>, write: (page: HistoryPage) => void): Awaitable<Step> {
	return page instanceof Promise ? page.then((read) => () => write(read)) : () => write(page)
}

import type { Frame } from './frame.js'
import type { RequestView } from './request.js'
import type { Corkable } from './tick.js'

/**
 * The way of bytes to one client. The implementations differ in what they write to; everything a connection
 * decides (who is slow, when to end) it decides by these few members.
 */
export interface Transport extends Corkable {
	/** The request the client came with. */
	readonly request: RequestView
	/** Bytes that wait in this process for the client. */
	readonly waiting: number
	/** Bytes wait beyond what the channel to the client takes without asking the producer to pause. */
	readonly behind: boolean
	/** Sends the head, with status 200 unless the app set another one. */
	open(): void
	/** Writes a frame. `false`: it may be `behind`. */
	write(frame: Frame): boolean
	/** The response was over before the stream began: the client had left, or the app had answered. */
	readonly over: boolean
	/** Until `uncork`, which is called at the end of the tick, writes become one. */
	cork(): void
	/** `flush` makes `waiting` exact. If not, only the next turn of the event loop shows what the client takes. */
	readonly exact: boolean
	/** Hands everything that is held back for the tick to the channel to the client now, so that `waiting` is exact. */
	flush(): void
	/** Calls back once when nothing waits any more; not if the client goes before. */
	onDrain(callback: () => void): void
	/** Bytes that have left this process, or anything else that changes whenever the client takes some. */
	progress(): number
	/** Writes a last frame, if there is one, and ends the response. */
	end(last: Frame | null): void
	/** Answers 401 with the frame as its body. If the head is out already, it only writes the frame and ends. */
	reject(body: Frame): void
	/** Cuts the client off at once. */
	destroy(): void
}

/** Told when the response is over: the client left, the network failed, or it was ended and flushed. */
export interface TransportOwner {
	gone(): void
}

/** The head of every stream. `no-transform` keeps compressors away, which hold events back. */
export const CONTENT_TYPE = 'text/event-stream'
export const CACHE_CONTROL = 'no-cache, no-transform'

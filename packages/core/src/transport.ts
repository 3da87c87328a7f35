import type { Frame } from './frame.js'
import type { RequestView } from './request.js'
import type { Corkable } from './tick.js'

/**
 * The way of bytes to one client. The implementations differ in what they write to; everything a stream decides
 * (who is slow, when to end) it decides by these few members.
 */
export interface Transport extends Corkable {
	/** The request the client came with. */
	readonly request: RequestView
	/** Bytes that wait in this process for the client. */
	readonly waiting: number
	/** The send buffer is above its high-water mark. */
	readonly behind: boolean
	/** Bytes wait for a compressor, and none of what it has passed on waits for the client. */
	readonly starved: boolean
	/** The response was over before the stream began: the client had left, or the app had answered. */
	readonly over: boolean
	/**
	 * Sends the head, with status 200 unless the app set another one. Returns `false` for a response without a body
	 * (HEAD, 204, 304), which it ends.
	 */
	open(): boolean
	/** Writes a frame. `false`: it may be `behind`. */
	write(frame: Frame): boolean
	/** Until `uncork`, which is called at the end of the tick, writes become one. */
	cork(): void
	/** Flushes what is corked in this tick to the socket. */
	flush(): void
	/** Calls back once when nothing waits any more; not if the client goes before. */
	onDrain(callback: () => void): void
	/** A number that changes whenever the client takes some of the bytes that wait. */
	progress(): number
	/**
	 * Writes a last frame, if there is one, and ends the response once the client has taken what waits. With `leave`
	 * it ends the connection too, so that the client comes back on a new one.
	 */
	end(last: Frame | null, leave: boolean): void
	/** Answers in place of the stream. If the head is out already, it only writes the body and ends. */
	answer(answer: Answer): void
	/** Cuts the client off at once. */
	destroy(): void
}

/** A response to a client that gets no stream. */
export interface Answer {
	readonly status: number
	readonly headers: Readonly<Record<string, string>>
	readonly body: Frame | undefined
}

/** Hears of the end of the response. */
export interface TransportOwner {
	/** The response is over: the client left, the network failed, or it was ended and flushed. May be called twice. */
	responseClosed(): void
	/** Writing to the response threw: somebody replaced a method of it. */
	failed(error: unknown): void
}

/** The head of every stream. `no-transform` keeps compressors away, which hold events back. */
export const CONTENT_TYPE = 'text/event-stream; charset=utf-8'
export const HEAD: Readonly<Record<string, string>> = {
	'Content-Type': CONTENT_TYPE,
	'Cache-Control': 'no-cache, no-transform',
	'X-Accel-Buffering': 'no',
}

/** Whether the protocol lets such a response have a body (RFC 9110 §9.3.2, §15.3.5, §15.4.5). */
export function hasBody(method: string | undefined, status: number): boolean {
	return method !== 'HEAD' && status !== 204 && status !== 304
}

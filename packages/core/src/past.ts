import type { Subscriber } from './channel.js'
import type { LogPosition } from './log.js'

/** For how many channels that a stream has left it is known what its client has. Older ones may come twice. */
const MOST_LEFT = 256

/** What a client that came back has, beside what its `Last-Event-ID` says. */
export interface Past {
	/** Its last reset was here: what was before does not count for it any more. */
	readonly restart: LogPosition | undefined
	/** Channels it does not listen to any more → up to where it has them. */
	readonly left: Map<string, LogPosition>
}

/** The client was told that it missed something: what was before `position` does not count for it any more. */
export function restartAt(stream: Subscriber, position: LogPosition | undefined): void {
	if (stream.lastEventId !== undefined) stream.past = { restart: position, left: new Map() }
}

/** The client has everything of a channel up to `has`, and leaves it. It must not get that again if it comes back. */
export function rememberLeft(stream: Subscriber, channel: string, has: LogPosition): void {
	if (stream.lastEventId === undefined) return
	stream.past ??= { restart: undefined, left: new Map() }
	const { left } = stream.past
	left.set(channel, has)
	const [oldest] = left.size > MOST_LEFT ? left.keys() : []
	if (oldest !== undefined) left.delete(oldest)
}

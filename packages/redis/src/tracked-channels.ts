import type { LogPosition, ResetReason } from '@evstream/core'

/** What the listeners of a channel have to be told. */
export interface OwedReset {
	/** One object for all channels: a receiver tells a stream once of a position. */
	readonly position: LogPosition
	readonly reason: ResetReason
}

/** Where the instance stands on a channel. */
export interface Tracked {
	open: boolean
	/** All its messages up to here were delivered; while it is opening, the highest `seq` that it saw. */
	last: number
	/** The subscriber was lost while it was opening: what was dropped may lie after where the log stood. */
	unsure: boolean
	/** Its listeners were told of a new epoch and got nothing since: what is missing at its beginning they know of. */
	excused: boolean
	/** The log had a message with this number, or a later one, that had not arrived at the last check. */
	owed: number | undefined
	/** Its listeners have yet to be told that they missed something. Until then it delivers nothing. */
	reset: OwedReset | undefined
}

/** The channels of an instance, and where it stands on each. */
export class TrackedChannels {
	readonly #channels = new Map<string, Tracked>()

	get(name: string): Tracked | undefined {
		return this.#channels.get(name)
	}

	/** All messages up to here were delivered on all open channels; `undefined` if there are none. */
	get lowest(): number | undefined {
		let lowest: number | undefined
		for (const [, { last }] of this.opened()) lowest = Math.min(lowest ?? last, last)
		return lowest
	}

	/** Some channel is open. */
	get isUsed(): boolean {
		return this.opened().next().done !== true
	}

	/** Another channel is open than this one. */
	hasOthers(tracked: Tracked): boolean {
		for (const [, other] of this.opened()) if (other !== tracked) return true
		return false
	}

	/** The channel is being subscribed. */
	add(name: string, unsure: boolean): void {
		this.#channels.set(name, {
			open: false,
			last: 0,
			unsure,
			excused: false,
			owed: undefined,
			reset: undefined,
		})
	}

	delete(name: string): void {
		this.#channels.delete(name)
	}

	clear(): void {
		this.#channels.clear()
	}

	/** What was dropped of the channels that are opening may lie after where the log stands. */
	doubtOpening(): void {
		for (const tracked of this.#channels.values()) if (!tracked.open) tracked.unsure = true
	}

	*opened(): IterableIterator<[string, Tracked]> {
		for (const channel of this.#channels) if (channel[1].open) yield channel
	}
}

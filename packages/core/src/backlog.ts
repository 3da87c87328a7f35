import type { Frame } from './frame.js'
import { now } from './timers.js'
import { currentTurn } from './turn.js'

/** What may follow a burst at least, in bytes: what a socket takes without asking to pause. */
const ROOM = 65_536
/** How long what waits for a compressor counts as fresh, in ms. */
const COMPRESSING = 1_000

/**
 * What bounds one client, made only when more than half of its budget waits or it falls behind: how much it may be
 * owed, the newest frame of each conflated channel, and who waits until it has caught up.
 */
export class Backlog {
	/** The turn of the event loop in which the last frame was accepted. */
	#turn = -1
	/** Bytes accepted in that turn, and in the one before it. */
	#fresh = 0
	#freshBefore = 0
	/** While bytes wait for a compressor: since when the turn lasts, in ms. */
	#starvedSince: number | undefined
	/** What may wait until a burst has drained; 0 without a burst. */
	#allowed = 0
	#newest = new Map<object, Frame>()
	#waiters: (() => void)[] = []

	/**
	 * Whether the client may be owed `length` bytes more than the ones that wait.
	 *
	 * A client is judged only by bytes that a turn of the event loop could have taken and did not. So while at most
	 * half of `maxBuffer` is older than that, everything is accepted that this turn brings: a burst, or one message of
	 * any size. A burst drains over many turns, and until it has, what follows may add {@link ROOM}.
	 *
	 * A compressor works in threads of its own, while turns go on. What has not left it, the client could not take. So
	 * while the transport is `starved` the turn lasts, for {@link COMPRESSING} at most: a compressor that is slower than
	 * the app must not fill the memory.
	 */
	accepts(waiting: number, length: number, maxBuffer: number, starved: boolean): boolean {
		this.#look(starved)
		const old = Math.max(0, waiting - this.#fresh - this.#freshBefore)
		if (waiting + length > maxBuffer) {
			if (old > maxBuffer / 2 && waiting + length > this.#allowed) return false
			if (old <= maxBuffer / 2) this.#allowed = waiting + length + Math.max(maxBuffer / 2, ROOM)
		}
		this.#fresh += length
		return true
	}

	/** What was accepted two turns ago and more is not fresh any more: all of a turn lies between. */
	#look(starved: boolean): void {
		const turn = currentTurn()
		if (turn === this.#turn) return
		const time = now()
		if (starved) this.#starvedSince ??= time
		const lasts = this.#starvedSince !== undefined && time - this.#starvedSince < COMPRESSING
		if (starved && lasts) return
		this.#starvedSince = undefined
		this.#freshBefore = lasts || turn === this.#turn + 1 ? this.#fresh : 0
		this.#fresh = 0
		this.#turn = turn
	}

	/** Keeps the frame in place of the channel's last one, behind those of the other channels. */
	replaceNewest(channel: object, frame: Frame): void {
		this.#newest.delete(channel)
		this.#newest.set(channel, frame)
	}

	forgetNewest(channel: object): void {
		this.#newest.delete(channel)
	}

	/** The newest frame of each channel, in the order in which they came. */
	takeNewest(): ReadonlyMap<object, Frame> {
		const newest = this.#newest
		this.#newest = new Map()
		return newest
	}

	/** Resolves at the next `release`. */
	released(): Promise<void> {
		return new Promise((resolve) => this.#waiters.push(resolve))
	}

	/** The client has taken everything: a burst is over. */
	drained(): void {
		this.#allowed = 0
		this.#starvedSince = undefined
	}

	/** The client has caught up, or is gone. */
	release(): void {
		const waiters = this.#waiters
		this.#waiters = []
		for (const resolve of waiters) resolve()
	}
}

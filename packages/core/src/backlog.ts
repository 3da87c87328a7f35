import type { Frame } from './frame.js'

/**
 * What a connection keeps for its client beside the bytes that wait in the transport: frames that wait for a replay,
 * the newest frame of each conflated channel, and those who wait until the client has caught up. Most connections
 * never have one.
 */
export class Backlog {
	#unproved = false
	#held: Frame[] = []
	#heldBytes = 0
	#newest = new Map<object, Frame>()
	#waiters: (() => void)[] = []

	/** Only the next turn of the event loop shows whether the client takes what was written in this one. */
	get unproved(): boolean {
		return this.#unproved
	}

	proveNextTurn(): void {
		this.#unproved = true
		setImmediate(() => {
			this.#unproved = false
		})
	}

	/** Keeps a frame until `takeHeld`. `false`: with it, more than `limit` bytes would be held. The first one always may. */
	hold(frame: Frame, limit: number): boolean {
		if (this.#heldBytes > 0 && this.#heldBytes + frame.length > limit) return false
		this.#heldBytes += frame.length
		this.#held.push(frame)
		return true
	}

	/** The frames that were held, in order. */
	takeHeld(): readonly Frame[] {
		const held = this.#held
		this.#held = []
		this.#heldBytes = 0
		return held
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

	/** The client has caught up, or is gone. */
	release(): void {
		const waiters = this.#waiters
		this.#waiters = []
		for (const resolve of waiters) resolve()
	}
}

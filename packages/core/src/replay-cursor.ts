import type { Channel } from './channel.js'
import type { Least } from './history.js'
import { LateChannels } from './late-channels.js'
import type { LogPosition } from './log.js'

/** Which channels a replay brings to the end of the log, and how far the client is on each of them. */
export class ReplayCursor {
	/** The channels, by name. */
	readonly channels: Map<string, Channel> = new Map()
	/** Channels of which the client has less than the position says. */
	readonly late: LateChannels = new LateChannels()
	/** Channel → `seq`, as the epoch of the position counts: earlier messages of the channel are not for this client. */
	readonly since: Map<string, number> = new Map()
	/** Everything after the position is held, so no page has to be read. */
	complete = false
	#position: LogPosition | undefined

	/** The client has everything up to here, but for late channels. */
	get position(): LogPosition | undefined {
		return this.#position
	}

	/** Everything up to `position` was written or does not count for this client. */
	moveTo(position: LogPosition): void {
		this.#position = { epoch: position.epoch, seq: position.seq }
	}

	/** Everything before `position` is given up; everything after it is held. */
	restartAt(position: LogPosition): void {
		this.late.clear()
		this.since.clear()
		this.moveTo(position)
		this.complete = true
	}

	/** The position that the client has of a channel. */
	positionOf(name: string): LogPosition | undefined {
		const at = this.#position
		const seq = this.late.lows.get(name)
		return at === undefined || seq === undefined ? at : { epoch: at.epoch, seq }
	}

	/** Whether an entry that lies after the position is for this client. */
	isSince(channel: string, seq: number): boolean {
		return seq > (this.since.get(channel) ?? 0)
	}

	leave(name: string): void {
		this.channels.delete(name)
		this.late.delete(name)
		this.since.delete(name)
	}

	/**
	 * How far a page must reach: later entries are delivered to this instance on all channels. Positions of several
	 * epochs say that the log has just changed, so only a read that begins now is good enough.
	 */
	least(delivered: LogPosition | undefined): Least {
		let least = delivered
		for (const { certainSince: since } of this.channels.values()) {
			if (since === undefined) continue
			if (least !== undefined && least.epoch !== since.epoch) return 'now'
			if (least === undefined || since.seq > least.seq) least = since
		}
		return least
	}
}

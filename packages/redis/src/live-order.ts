import type { LogEntry } from '@evstream/core'

/**
 * What has arrived live on one subscriber connection. Redis delivers in the order in which the log published, so the
 * numbers of an epoch only rise, whatever the channel. A number that comes again was given out twice: the server lost
 * it with the data after an older copy, and went on from there.
 */
export class LiveOrder {
	#epoch = ''
	#seq = 0

	/** Takes what arrived next. `false`: the log went back before this entry. */
	take({ epoch, seq }: LogEntry): boolean {
		const rises = epoch !== this.#epoch || seq > this.#seq
		this.#epoch = epoch
		this.#seq = seq
		return rises
	}

	/** Another connection may begin earlier. */
	clear(): void {
		this.#epoch = ''
	}
}

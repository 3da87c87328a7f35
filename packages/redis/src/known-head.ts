/** The highest position that an instance knows. A log that stands below it, in the same epoch, has lost something. */
export class KnownHead {
	#epoch = ''
	#seq = 0

	get epoch(): string {
		return this.#epoch
	}

	get seq(): number {
		return this.#seq
	}

	/** The log has reached this position. */
	note(epoch: string, seq: number): void {
		if (epoch === this.#epoch) this.#seq = Math.max(this.#seq, seq)
		else {
			this.#epoch = epoch
			this.#seq = seq
		}
	}
	/** The log gave numbers of this epoch out twice: wherever it stands now, a new epoch must begin. */
	distrust(epoch: string): void {
		this.note(epoch, Number.MAX_SAFE_INTEGER)
	}
}

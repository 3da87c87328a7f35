/** The epochs of a log in their order, and up to which `seq` each of them is known to the next. */
export class EpochChain {
	readonly #order: string[] = []
	readonly #cuts = new Map<string, number>()

	/** Takes what the log says of itself: its epoch, and `cuts` as `epoch:seq;…`, the newest first. */
	learn(epoch: string, cuts: string): void {
		const older = cuts
			.split(';')
			.filter((cut) => cut !== '')
			.reverse()
		for (const cut of older) {
			const at = cut.lastIndexOf(':')
			this.#enter(cut.slice(0, at))
			this.#cuts.set(cut.slice(0, at), Number(cut.slice(at + 1)))
		}
		this.#enter(epoch)
	}

	/**
	 * Where an entry stands among all entries: entries of an epoch that the next one knows keep their place,
	 * whichever epoch a later read names. Orders like the log did. `undefined`: the log has lost it.
	 */
	place(epoch: string, seq: number): number | undefined {
		let index = this.#order.indexOf(epoch)
		if (index < 0) return undefined
		while (index > 0 && seq <= this.#cut(index - 1)) index--
		return index < this.#order.length - 1 && seq > this.#cut(index) ? undefined : index * 2 ** 40 + seq
	}

	#cut(index: number): number {
		return this.#cuts.get(this.#order[index] ?? '') ?? 0
	}

	#enter(epoch: string): void {
		if (!this.#order.includes(epoch)) this.#order.push(epoch)
	}
}

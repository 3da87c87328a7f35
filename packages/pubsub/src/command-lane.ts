/** A command until it is settled. */
export interface Job {
	/** Rises with each job: what is run again goes before everything that came later. */
	readonly number: number
	start(): void
	/** Its connection is gone, and its answer with it. */
	lose(): void
	fail(error: Error): void
}

/** Commands of one user of the bus, in order. */
export interface CommandLane {
	/** How many of its commands have no answer yet. */
	readonly pending: number
	/** Runs the command now or once the client is ready. See `RedisBus.command` for how it fails. */
	run<T>(command: () => Promise<T>, deadlineMs: number): Promise<T>
}

/** The commands of one user of a queue: those that wait, in order, and those that were sent. */
export class Lane implements CommandLane {
	readonly limit: number
	readonly waiting: Set<Job> = new Set()
	readonly running: Set<Job> = new Set()
	/** Whether `waiting` is in order: what is put back comes last there. */
	isSorted: boolean = true
	readonly run: CommandLane['run']

	constructor(
		limit: number,
		run: <T>(lane: Lane, command: () => Promise<T>, deadlineMs: number) => Promise<T>,
	) {
		this.limit = limit
		this.run = (command, deadlineMs) => run(this, command, deadlineMs)
	}

	get pending(): number {
		return this.waiting.size + this.running.size
	}

	startNext(): void {
		if (!this.isSorted) {
			this.isSorted = true
			const inOrder = [...this.waiting].sort((a, b) => a.number - b.number)
			this.waiting.clear()
			for (const job of inOrder) this.waiting.add(job)
		}
		for (const job of this.waiting) {
			job.start()
			return
		}
	}
}

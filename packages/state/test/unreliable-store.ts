import {
	type CommitResult,
	EvUnavailableError,
	type RegistryWatcher,
	type StateList,
	type StatePlace,
	type StateStore,
	type StateWatcher,
	type StoredState,
	type Unwatch,
} from '@evstream/core'

/** What can go wrong between an instance and the store. Chances are from 0 to 1. */
export interface Faults {
	/** Gives numbers from 0 to 1: seeded, so that a failure can be replayed. */
	random: () => number
	/** The command does not arrive. */
	unsent: number
	/** The command is executed, but its answer is lost. */
	unanswered: number
	/** The command is executed twice, as after a reconnect. */
	doubled: number
	/** A copy of the command is executed much later, after whatever others did meanwhile. */
	late: number
	/** A message does not arrive. */
	unheard: number
}

/** One instance's view of a store, over a network that fails as told. Every answer and message takes some ticks. */
export class UnreliableStore implements StateStore {
	faults: Faults
	/** While `true` nothing arrives. */
	away = false
	/** While `true` commands never end. */
	hangs = false
	/** How many commands were begun, by method. */
	readonly calls: Map<string, number> = new Map()
	/** How many were answered, by method. */
	readonly answered: Map<string, number> = new Map()
	readonly #store: StateStore
	readonly #missed = new Set<() => void>()
	readonly #hanging: (() => void)[] = []
	readonly #late: (() => unknown)[] = []

	constructor(store: StateStore, faults: Partial<Faults> = {}) {
		this.#store = store
		this.faults = {
			random: Math.random,
			unsent: 0,
			unanswered: 0,
			doubled: 0,
			late: 0,
			unheard: 0,
			...faults,
		}
	}

	/** Executes the late copies that did not come yet. */
	async flush(): Promise<void> {
		for (const run of this.#late.splice(0)) await run()
	}

	/** The connection is back: messages may have been missed. */
	reconnected(): void {
		this.away = false
		for (const missed of [...this.#missed]) missed()
	}

	look(name: string): Promise<StatePlace> {
		return this.#command('look', () => this.#store.look(name))
	}

	create(...args: Parameters<StateStore['create']>): Promise<StoredState | undefined> {
		return this.#command('create', () => this.#store.create(...args))
	}

	read(name: string): Promise<StoredState | undefined> {
		return this.#command('read', () => this.#store.read(name))
	}

	commit(...args: Parameters<StateStore['commit']>): Promise<CommitResult> {
		return this.#command('commit', () => this.#store.commit(...args))
	}

	restore(...args: Parameters<StateStore['restore']>): Promise<StoredState | undefined> {
		return this.#command('restore', () => this.#store.restore(...args))
	}

	remove(...args: Parameters<StateStore['remove']>): Promise<void> {
		return this.#command('remove', () => this.#store.remove(...args))
	}

	list(known?: string): Promise<StateList | undefined> {
		return this.#command('list', () => this.#store.list(known))
	}

	async watch(name: string, watcher: StateWatcher): Promise<Unwatch> {
		const unwatch = await this.#store.watch(name, {
			changed: (state) => this.#message(() => watcher.changed(state)),
			missed: () => this.#message(() => watcher.missed()),
		})
		return this.#withMissed(unwatch, () => watcher.missed())
	}

	async watchList(watcher: RegistryWatcher): Promise<Unwatch> {
		const unwatch = await this.#store.watchList({
			changed: (change) => this.#message(() => watcher.changed(change)),
			missed: () => this.#message(() => watcher.missed()),
		})
		return this.#withMissed(unwatch, () => watcher.missed())
	}

	#withMissed(unwatch: Unwatch, missed: () => void): Unwatch {
		this.#missed.add(missed)
		return () => {
			this.#missed.delete(missed)
			unwatch()
		}
	}

	async #command<T>(name: string, run: () => T | Promise<T>): Promise<T> {
		this.calls.set(name, (this.calls.get(name) ?? 0) + 1)
		await this.#travel()
		// Held, as a connection holds the commands that it waits for.
		if (this.hangs) await new Promise<void>((resolve) => this.#hanging.push(resolve))
		if (this.away || this.#chance('unsent')) throw new EvUnavailableError('not sent')
		let answer = await run()
		if (this.#chance('doubled')) {
			await this.#travel()
			answer = await run()
		}
		// Late copies come in whatever order, each after some other commands.
		if (this.#chance('late')) this.#late.push(run)
		const [copy] = this.faults.random() < 0.1 ? this.#late.splice(0, 1) : []
		await copy?.()
		await this.#travel()
		if (this.away || this.#chance('unanswered')) throw new EvUnavailableError('no answer')
		this.answered.set(name, (this.answered.get(name) ?? 0) + 1)
		return answer
	}

	#message(deliver: () => void): void {
		if (this.away || this.#chance('unheard')) return
		void this.#travel().then(() => {
			if (!this.away) deliver()
		})
	}

	async #travel(): Promise<void> {
		const ticks = Math.floor(this.faults.random() * 4)
		for (let tick = 0; tick < ticks; tick++) await new Promise<void>((resolve) => setImmediate(resolve))
	}

	#chance(fault: 'unsent' | 'unanswered' | 'doubled' | 'late' | 'unheard'): boolean {
		return this.faults[fault] > 0 && this.faults.random() < this.faults[fault]
	}
}

import {
	type CommitResult,
	EvUnavailableError,
	type ListChange,
	MemoryStateStore,
	type RegistryWatcher,
	type StateList,
	type StatePlace,
	type StateStore,
	type StateWatcher,
	type StoredState,
	type Unwatch,
} from '@evstream/core'
import { until } from '@evstream/testkit'

type Method = Exclude<keyof StateStore, symbol>

/** A command that the store was asked, for the test to answer. */
export interface Asked {
	readonly method: Method
	readonly args: readonly unknown[]
	/** Executes it and answers. */
	answer(): void
	/** Executes it, but its answer is lost. */
	lose(error?: Error): void
	/** Does not execute it. */
	fail(error?: Error): void
}

/** A store that executes a command when the test says so, and tells its watchers what the test says. */
export class StepStore implements StateStore {
	readonly memory: MemoryStateStore = new MemoryStateStore()
	readonly asked: Asked[] = []
	/** Commands of these methods are answered at once. */
	readonly auto: Set<Method>
	/** Who watches a state, and who the list. */
	readonly watchers: Set<StateWatcher> = new Set()
	readonly listWatchers: Set<RegistryWatcher> = new Set()

	constructor(...auto: Method[]) {
		this.auto = new Set(auto)
	}

	/** The next command; waits for it. */
	async next(method?: Method): Promise<Asked> {
		await until(() => this.asked.length > 0, { what: method ?? 'a command' })
		const asked = this.asked.shift()
		if (asked === undefined || (method !== undefined && asked.method !== method)) {
			throw new Error(`Expected ${method}, but was asked to ${asked?.method}`)
		}
		return asked
	}

	/** Tells the watchers of states. */
	tell(state: StoredState): void {
		for (const watcher of [...this.watchers]) watcher.changed(state)
	}

	missed(): void {
		for (const watcher of [...this.watchers]) watcher.missed()
	}

	/** Tells the watchers of the list that changes may have been missed. */
	listMissed(): void {
		for (const watcher of [...this.listWatchers]) watcher.missed()
	}

	/** Tells the watchers of the list of a change. */
	listChanged(change: ListChange): void {
		for (const watcher of [...this.listWatchers]) watcher.changed(change)
	}

	look(name: string): Promise<StatePlace> {
		return this.#ask('look', [name], () => this.memory.look(name))
	}

	create(...args: Parameters<StateStore['create']>): Promise<StoredState | undefined> {
		return this.#ask('create', args, () => this.memory.create(...args))
	}

	read(name: string): Promise<StoredState | undefined> {
		return this.#ask('read', [name], () => this.memory.read(name))
	}

	commit(...args: Parameters<StateStore['commit']>): Promise<CommitResult> {
		return this.#ask('commit', args, () => this.memory.commit(...args))
	}

	restore(...args: Parameters<StateStore['restore']>): Promise<StoredState | undefined> {
		return this.#ask('restore', args, () => this.memory.restore(...args))
	}

	remove(...args: Parameters<StateStore['remove']>): Promise<void> {
		return this.#ask('remove', args, () => this.memory.remove(...args))
	}

	list(known?: string): Promise<StateList | undefined> {
		return this.#ask('list', [known], () => this.memory.list(known))
	}

	watch(name: string, watcher: StateWatcher): Promise<Unwatch> {
		return this.#ask('watch', [name], () => added(this.watchers, watcher))
	}

	watchList(watcher: RegistryWatcher): Promise<Unwatch> {
		return this.#ask('watchList', [], () => added(this.listWatchers, watcher))
	}

	#ask<T>(method: Method, args: readonly unknown[], run: () => T): Promise<T> {
		return new Promise((resolve, reject) => {
			const asked: Asked = {
				method,
				args,
				answer: () => resolve(run()),
				lose: (error = new EvUnavailableError('no answer')) => {
					run()
					reject(error)
				},
				fail: (error = new EvUnavailableError('away')) => reject(error),
			}
			if (this.auto.has(method)) asked.answer()
			else this.asked.push(asked)
		})
	}
}

function added<T>(set: Set<T>, item: T): Unwatch {
	set.add(item)
	return () => void set.delete(item)
}

/** What a store says that is certain that it did not execute a command. */
export function unsent(): Error {
	return Object.assign(new EvUnavailableError('not sent'), { sent: false })
}

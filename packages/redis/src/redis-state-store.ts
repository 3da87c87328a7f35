import { randomUUID } from 'node:crypto'
import {
	type CommitResult,
	EvClosedError,
	EvInvalidMessageError,
	EvUnavailableError,
	type OperationId,
	type RegisteredState,
	type RegistryWatcher,
	type StateStore,
	type StateWatcher,
	type StoredState,
	type Unwatch,
} from '@evstream/core'
import type { RedisBus, RedisCommands } from '@evstream/pubsub'
import { keepContext, outsideContext } from './context.js'
import { EXPIRY, type RedisNames, SETTLING_MS } from './keys.js'
import { defineScripts, runScript, type Script } from './script.js'
import {
	COMMIT_STATE,
	LIST_STATES,
	LOAD_STATE,
	REGISTER_STATE,
	REMOVE_STATE,
	RESTORE_STATE,
	STATE_SCRIPTS,
} from './state-scripts.js'
import { publishedState, storedState } from './stored-state.js'

/** The most commands that may be without an answer at a time: every state of a process checks its value after an outage. */
const PENDING = 100_000

/** The states of all instances on one Redis. The bus sees to deadlines and connections. */
export class RedisStateStore implements StateStore {
	readonly #bus: RedisBus
	readonly #commands: RedisCommands
	readonly #names: RedisNames
	/** How long one command may take, in ms. */
	readonly #deadline: number
	readonly #onError: (error: unknown) => void
	/** What to call when messages may have been missed. */
	readonly #missed = new Set<() => void>()

	constructor(bus: RedisBus, names: RedisNames, deadline: number, onError: (error: unknown) => void) {
		this.#bus = bus
		this.#commands = bus.commands({ limit: PENDING })
		this.#names = names
		this.#deadline = deadline
		this.#onError = onError
		defineScripts(bus.client, STATE_SCRIPTS)
		bus.onRestored(() => {
			for (const missed of [...this.#missed]) missed()
		})
	}

	async load(name: string, initial: string): Promise<StoredState> {
		const names = this.#names
		const reply = await this.#run(
			LOAD_STATE,
			[names.state(name), names.tombstone(name)],
			[initial, `load.${randomUUID()}`, names.published(names.stateChannel(name))],
		)
		const loaded = this.#state(name, reply)
		if (loaded === undefined) throw malformed(name)
		return loaded
	}

	async read(name: string): Promise<StoredState | undefined> {
		return this.#state(
			name,
			await this.#command((client) => client.hmget(this.#names.state(name), 'v', 's', 'd')),
		)
	}

	async commit(
		name: string,
		expected: StoredState,
		value: string,
		id: OperationId,
		within?: number,
	): Promise<CommitResult> {
		const names = this.#names
		const stamp = `${id.writer}.${id.number}`
		const reply = await this.#run(
			COMMIT_STATE,
			[names.state(name), names.operation(id.writer), names.settling(name)],
			[
				expected.version,
				expected.stamp,
				stamp,
				value,
				id.number,
				EXPIRY.operation,
				names.published(names.stateChannel(name)),
			],
			within,
		)
		const [outcome, ...fields] = items(reply)
		// A client that was passed in may have `stringNumbers`.
		const committed = Number(outcome)
		if (committed === -1) {
			throw unsent(
				`The state "${name}" was lost and put back: it takes no changes until every instance had time to put back a newer one.`,
			)
		}
		if (committed === 1 && fields.length === 1) {
			return { committed: true, state: this.#state(name, [fields[0], stamp, value]) }
		}
		return { committed: committed === 1, state: this.#state(name, fields) }
	}

	async restore(
		name: string,
		state: StoredState,
		listed?: RegisteredState,
	): Promise<StoredState | undefined> {
		const names = this.#names
		const entry = listed ? [listed.name, listed.initial, names.published(names.listChannel)] : []
		const reply = await this.#run(
			RESTORE_STATE,
			[names.state(name), names.tombstone(name), names.list, names.settling(name)],
			[
				state.version,
				state.stamp,
				state.value,
				names.published(names.stateChannel(name)),
				SETTLING_MS,
				...entry,
			],
		)
		return this.#state(name, reply)
	}

	async watch(name: string, watcher: StateWatcher): Promise<Unwatch> {
		const missed = keepContext(() => watcher.missed())
		return this.#subscribe(this.#names.stateChannel(name), missed, (payload) => {
			if (payload === 'gone') return watcher.missed()
			const state = publishedState(payload)
			if (state) watcher.changed(state)
			else this.#onError(new EvInvalidMessageError(`Something that is no state was published for "${name}".`))
		})
	}

	async register(state: RegisteredState, id: OperationId): Promise<StoredState | undefined> {
		const names = this.#names
		const reply = await this.#run(
			REGISTER_STATE,
			[names.state(state.name), names.tombstone(state.name), names.list, names.operation(id.writer)],
			[
				state.initial,
				`${id.writer}.${id.number}`,
				names.published(names.stateChannel(state.name)),
				state.name,
				names.published(names.listChannel),
				id.number,
				EXPIRY.operation,
			],
		)
		return this.#state(state.name, reply)
	}

	async remove(name: string, id: OperationId): Promise<void> {
		const names = this.#names
		await this.#run(
			REMOVE_STATE,
			[names.state(name), names.tombstone(name), names.list, names.operation(id.writer)],
			[
				name,
				id.number,
				EXPIRY.operation,
				EXPIRY.tombstone,
				names.published(names.stateChannel(name)),
				names.published(names.listChannel),
			],
		)
	}

	async list(): Promise<readonly RegisteredState[]> {
		const reply = items(await this.#run(LIST_STATES, [this.#names.list], []))
		const list: RegisteredState[] = []
		for (let index = 0; index + 1 < reply.length; index += 2) {
			list.push({ name: String(reply[index]), initial: String(reply[index + 1]) })
		}
		return list
	}

	async watchList(watcher: RegistryWatcher): Promise<Unwatch> {
		const changed = keepContext(() => watcher.changed())
		return this.#subscribe(this.#names.listChannel, changed, changed)
	}

	async #subscribe(
		channel: string,
		missed: () => void,
		handler: (payload: string) => void,
	): Promise<Unwatch> {
		const unsubscribe = await this.#bus.subscribe(channel, handler).catch((cause: unknown) => {
			if (isClosed(cause)) throw new EvClosedError('The Redis adapter')
			throw new EvUnavailableError(`Redis did not let the channel "${channel}" be subscribed.`, { cause })
		})
		this.#missed.add(missed)
		return () => {
			this.#missed.delete(missed)
			unsubscribe()
		}
	}

	#run(
		script: Script,
		keys: readonly string[],
		args: readonly (string | number)[],
		within?: number,
	): Promise<unknown> {
		return this.#command((client) => runScript(client, script, keys, args), within)
	}

	async #command<T>(
		run: (client: RedisBus['client']) => Promise<T>,
		within: number = this.#deadline,
	): Promise<T> {
		let sent = false
		try {
			return await outsideContext(() =>
				this.#commands.run(
					(client) => {
						sent = true
						return run(client)
					},
					Math.min(within, this.#deadline),
				),
			)
		} catch (cause) {
			if (isClosed(cause)) throw new EvClosedError('The Redis adapter')
			const message = `Redis did not take a command: ${cause instanceof Error ? cause.message : String(cause)}`
			throw sent ? new EvUnavailableError(message, { cause }) : unsent(message, cause)
		}
	}

	#state(name: string, reply: unknown): StoredState | undefined {
		if (reply === null) return undefined
		const [version, stamp, value] = items(reply)
		try {
			return storedState(version, stamp, value)
		} catch (cause) {
			throw malformed(name, cause)
		}
	}
}

function items(reply: unknown): unknown[] {
	return Array.isArray(reply) ? reply : []
}

function malformed(name: string, cause?: unknown): EvUnavailableError {
	return new EvUnavailableError(
		`The Redis key of the state "${name}" holds something else. Remove it, or use another namespace.`,
		{ cause },
	)
}

/** It did not take place and will not: see `StateStore`. */
function unsent(message: string, cause?: unknown): EvUnavailableError {
	return Object.assign(new EvUnavailableError(message, { cause }), { sent: false })
}

function isClosed(error: unknown): boolean {
	return error instanceof Error && Reflect.get(error, 'code') === 'EV_CLOSED'
}

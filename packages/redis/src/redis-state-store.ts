import { randomUUID } from 'node:crypto'
import {
	type CommitOptions,
	type CommitResult,
	EvInvalidMessageError,
	EvUnavailableError,
	type Incarnation,
	type OperationId,
	type RegisteredState,
	type RegistryWatcher,
	type StateList,
	type StatePlace,
	type StateStore,
	type StateWatcher,
	type StoredState,
	type Unwatch,
} from '@evstream/core'
import type { RedisBus } from '@evstream/pubsub'
import { keepContext } from './context.js'
import { type RedisNames, SETTLING_MS } from './keys.js'
import type { Script } from './script.js'
import { malformed, StateCommands, unsent } from './state-commands.js'
import {
	COMMIT_STATE,
	CREATE_STATE,
	LIST_STATES,
	LOOK_AT_STATE,
	REMOVE_STATE,
	RESTORE_STATE,
} from './state-scripts.js'
import { publishedChange, publishedState, storedState } from './stored-state.js'

/** How long the last operation of a writer is remembered at least, in seconds. */
const OPERATION_EXPIRY = 900

/** How long a removal is remembered, in seconds. */
const TOMBSTONE_EXPIRY = 7 * 86_400

/**
 * How old a look at a state may be for what is decided on it, in ms by the server's clock. A late copy is refused
 * after that, long before the tombstone that would refuse it is forgotten.
 */
const LOOK_EXPIRY = 3_600_000

/** The longest a writer may have the turn, in ms. */
const LONGEST_TURN = 1000

/** The states of all instances on one Redis. The bus sees to deadlines and connections. */
export class RedisStateStore implements StateStore {
	readonly #commands: StateCommands
	readonly #names: RedisNames
	readonly #onError: (error: unknown) => void
	/** What to call when messages may have been missed. */
	readonly #missed = new Set<() => void>()

	/** @param deadline - How long one command may take, in ms. */
	constructor(bus: RedisBus, names: RedisNames, deadline: number, onError: (error: unknown) => void) {
		this.#commands = new StateCommands(bus, deadline)
		this.#names = names
		this.#onError = onError
		bus.onRestored(() => this.#tellMissed())
	}

	/** The adapter was closed: every watcher asks once more, and learns it from the answer. Idempotent. */
	close(): void {
		this.#commands.close()
		this.#tellMissed()
	}

	async look(name: string): Promise<StatePlace> {
		const names = this.#names
		const keys = [names.state(name), names.tombstone(name), names.list]
		const reply = await this.#run(name, LOOK_AT_STATE, keys, [name])
		const [foreign, tombstone, removed, seen, listed, ...fields] = reply
		const state = Number(foreign) === 1 ? 'spoilt' : soundState(fields)
		return {
			state: state === 'spoilt' ? undefined : state,
			listed: typeof listed === 'string' ? listed : undefined,
			removed: state === undefined && Number(removed) === 1,
			spoilt: state === 'spoilt',
			next: Number(tombstone) + 1,
			seen: state && state !== 'spoilt' ? `${seen} ${state.born}` : String(seen),
		}
	}

	async read(name: string): Promise<StoredState | undefined> {
		const key = this.#names.state(name)
		return this.#state(
			name,
			await this.#commands.run(name, (client) => client.hmget(key, 'v', 's', 'd', 'b')),
		)
	}

	async create(
		name: string,
		initial: string,
		place: StatePlace,
		listed: boolean,
	): Promise<StoredState | undefined> {
		const names = this.#names
		const [seen = '', born = ''] = place.seen.split(' ', 2)
		const create = (at: string): Promise<unknown[]> =>
			this.#run(
				name,
				CREATE_STATE,
				[names.state(name), names.tombstone(name), names.list, names.listChange],
				[
					initial,
					`create.${place.next}.${randomUUID()}`,
					names.published(names.stateChannel(name)),
					place.next,
					at,
					LOOK_EXPIRY,
					listed ? 1 : 0,
					...this.#listed(name),
					born,
				],
			)
		let [done, ...fields] = await create(seen)
		// An hour of retries. What was seen first still decides; only the time is another one.
		if (Number(done) === -1) [done, ...fields] = await create(seenAt(await this.look(name)))
		return this.#decided(name, done, fields)
	}

	async commit(
		name: string,
		expected: StoredState,
		value: string,
		id: OperationId,
		{ within, remember = 0, turn = 0 }: CommitOptions = {},
	): Promise<CommitResult> {
		const names = this.#names
		let starts = 0
		const [outcome, ...fields] = await this.#run(
			name,
			COMMIT_STATE,
			[names.state(name), names.operation(id.writer), names.settling(name)],
			[
				expected.version,
				expected.stamp,
				id.writer,
				id.number,
				value,
				Math.max(OPERATION_EXPIRY, Math.ceil(remember / 1000)),
				names.published(names.stateChannel(name)),
				Math.min(LONGEST_TURN, Math.max(0, Math.ceil(turn))),
				LONGEST_TURN,
			],
			within,
			() => starts++,
		)
		// A client that was passed in may have `stringNumbers`.
		const committed = Number(outcome)
		if (committed < 0 && starts > 1) {
			throw new EvUnavailableError(
				`The state "${name}" takes no change at the moment. The connection was lost when this one was sent: it may have been committed, or still be.`,
			)
		}
		if (committed === -1) {
			throw unsent(
				`The state "${name}" was lost and put back: it takes no changes until every instance had time to put back a newer one.`,
			)
		}
		if (committed === -2) return { committed: false, state: undefined, wait: Number(fields[0]) }
		if (committed === 1 && fields.length === 1) {
			const stamp = `${id.writer}.${id.number}`
			return { committed: true, state: this.#state(name, [fields[0], stamp, value, expected.born]) }
		}
		return { committed: committed === 1, state: this.#state(name, fields) }
	}

	async restore(
		name: string,
		state: StoredState,
		listed?: RegisteredState,
	): Promise<StoredState | undefined> {
		const names = this.#names
		const place = await this.look(name)
		const stored = place.state && place.state.version >= state.version ? place.state : undefined
		if (stored && (listed === undefined || place.listed !== undefined)) return stored
		const [done, ...fields] = await this.#run(
			name,
			RESTORE_STATE,
			[names.state(name), names.tombstone(name), names.list, names.settling(name), names.listChange],
			[
				state.version,
				state.stamp,
				state.value,
				state.born,
				names.published(names.stateChannel(name)),
				SETTLING_MS,
				seenAt(place),
				LOOK_EXPIRY,
				...(listed
					? [listed.name, listed.initial, ...this.#listed(name).slice(1), (stored ?? state).born]
					: []),
			],
		)
		return this.#decided(name, done, fields)
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

	async remove(name: string, meant: Incarnation): Promise<void> {
		const names = this.#names
		const [listedName, listChannel, change] = this.#listed(name)
		await this.#run(
			name,
			REMOVE_STATE,
			[names.state(name), names.tombstone(name), names.list, names.listChange],
			[
				listedName,
				meant.born,
				meant.version,
				TOMBSTONE_EXPIRY,
				names.published(names.stateChannel(name)),
				listChannel,
				change,
			],
		)
	}

	async list(known = ''): Promise<StateList | undefined> {
		const { list, listChange } = this.#names
		const reply = await this.#commands.script('', LIST_STATES, [list, listChange], [known])
		if (reply === null) return undefined
		const [stamp, entries] = items(reply)
		const flat = items(entries)
		const states: RegisteredState[] = []
		for (let index = 0; index + 1 < flat.length; index += 2) {
			states.push({ name: String(flat[index]), initial: String(flat[index + 1]) })
		}
		return { stamp: String(stamp), states }
	}

	async watchList(watcher: RegistryWatcher): Promise<Unwatch> {
		const missed = keepContext(() => watcher.missed())
		return this.#subscribe(this.#names.listChannel, missed, (payload) => {
			const change = publishedChange(payload)
			// Something else, as an earlier release publishes it.
			if (change) watcher.changed(change)
			else watcher.missed()
		})
	}

	/** Name, channel and stamp of a change of the list. */
	#listed(name: string): [string, string, string] {
		return [name, this.#names.published(this.#names.listChannel), randomUUID()]
	}

	async #subscribe(
		channel: string,
		missed: () => void,
		handler: (payload: string) => void,
	): Promise<Unwatch> {
		const unsubscribe = await this.#commands.subscribe(channel, handler)
		this.#missed.add(missed)
		return () => {
			this.#missed.delete(missed)
			unsubscribe()
		}
	}

	#tellMissed(): void {
		for (const missed of [...this.#missed]) missed()
	}

	async #run(
		name: string,
		script: Script,
		keys: readonly string[],
		args: readonly (string | number)[],
		within?: number,
		onStart?: () => void,
	): Promise<unknown[]> {
		return items(await this.#commands.script(name, script, keys, args, within, onStart))
	}

	/** The answer of a script that creates or puts back. */
	#decided(name: string, done: unknown, fields: unknown[]): StoredState | undefined {
		if (Number(done) === 0) return undefined
		const state = Number(done) === 1 ? this.#state(name, fields) : undefined
		if (state) return state
		throw new EvUnavailableError(`Redis took too long to decide about the state "${name}".`)
	}

	#state(name: string, reply: unknown): StoredState | undefined {
		const state = soundState(items(reply))
		if (state === 'spoilt') throw malformed(`of the state "${name}"`)
		return state
	}
}

/** The time at which a name was looked at, without what was seen there. */
function seenAt({ seen }: StatePlace): string {
	return seen.split(' ', 1)[0] ?? ''
}

function soundState([version, stamp, value, born]: unknown[]): StoredState | 'spoilt' | undefined {
	try {
		return storedState(version, stamp, value, born)
	} catch {
		return 'spoilt'
	}
}

function items(reply: unknown): unknown[] {
	return Array.isArray(reply) ? reply : []
}

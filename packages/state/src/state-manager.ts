import { EvClosedError } from '@evstream/core'
import { outsideContext } from './context.js'
import { PeerRegistry } from './peer-registry.js'
import type { LocalStates, Registry } from './registry.js'
import { type Settings, settings } from './settings.js'
import { EvState } from './state.js'
import { StoreRegistry } from './store-registry.js'
import type { EvStateManagerOptions, EvStatePubSub } from './types.js'

/**
 * States by name, the same set on all instances: one that is created or removed here is created or removed
 * everywhere, also on an instance that starts later or was cut off meanwhile.
 *
 * With an adapter the store holds the list, and values are shared. With only a pub/sub the instances tell each
 * other which states there are; each has its own values. With neither it is a map.
 *
 * @typeParam S - Maps each name to the type of its value.
 */
export class EvStateManager<S extends object = Record<string, unknown>> {
	readonly #options: EvStateManagerOptions & { readonly receiver: unknown }
	readonly #settings: Settings
	readonly #registry: Registry | undefined
	readonly #announce: EvStatePubSub | undefined
	readonly #states: { [K in keyof S]?: EvState<S[K]> } = Object.create(null)
	readonly #open = new Map<string, { readonly closed: boolean; close(): void }>()
	/** States of other instances that cannot be made here; the reason was reported. */
	readonly #unfollowed = new Set<string>()
	#closed = false

	/** @throws TypeError, RangeError if an option is not what it should be. */
	constructor(options: EvStateManagerOptions) {
		const { manager, adapter, pubsub } = options
		if (typeof manager?.provide !== 'function') throw new TypeError('manager must be an EvStreamManager.')
		if (pubsub !== undefined && typeof pubsub?.send !== 'function') {
			throw new TypeError('pubsub must have send and onMessage, as an EvRedisPubSub does.')
		}
		this.#settings = settings(options)
		const { checkInterval, onError, receiver } = this.#settings
		this.#options = { ...options, onError, receiver }
		const local: LocalStates = {
			has: (name) => this.#open.get(name)?.closed === false,
			follow: (name, initial) => this.#follow(name, initial),
			drop: (name) => this.#drop(name),
		}
		if (adapter) {
			const registry = outsideContext(
				() => new StoreRegistry(adapter.states, local, checkInterval, onError, receiver),
			)
			this.#registry = registry
			this.#announce = pubsub
			// The list is the truth; a message only says that it is worth a look.
			outsideContext(() => pubsub?.onMessage(() => registry.changed()))
		} else if (pubsub) {
			this.#registry = outsideContext(() => new PeerRegistry(pubsub, local, checkInterval, onError))
		}
	}

	/**
	 * Creates a state on all instances, or gives the one there is. The value, in the store or of the state there
	 * is, stays: `initialValue` is for the first one. The key is also the channel that clients listen to.
	 *
	 * @throws EvInvalidMessageError (`EV_INVALID_MESSAGE`) if `initialValue` cannot be sent or shared as JSON.
	 * @throws EvClosedError (`EV_CLOSED`) after {@link close}.
	 * @throws Error if the channel has another state already.
	 */
	createState<K extends keyof S & string, T extends S[K]>(
		key: K,
		initialValue: T,
	): EvState<unknown extends S[K] ? T : S[K]>
	createState<K extends keyof S & string>(key: K, initialValue: S[K]): EvState<S[K]> {
		if (this.#closed) throw new EvClosedError('The state manager')
		if (typeof key !== 'string' || key === '')
			throw new TypeError('The key of a state must be a non-empty string.')
		const existing = this.getState(key)
		if (existing) return existing
		// The state outlives the request that creates it.
		return outsideContext(() => {
			const state = this.#make(key, initialValue, false)
			this.#registry?.created(key, JSON.stringify(initialValue))
			this.#announce?.send({ type: 'create', channel: key }).catch(ignore)
			return state
		})
	}

	/** The state of that name, if there is one on this instance by now. */
	getState<K extends keyof S & string>(key: K): EvState<S[K]> | undefined {
		const state = this.#states[key]
		return state?.closed ? undefined : state
	}

	/** Whether there is a state of that name on this instance by now. */
	hasState<K extends keyof S & string>(key: K): boolean {
		return this.getState(key) !== undefined
	}

	/**
	 * Removes a state and its value on all instances. Here at once; while the store is out of reach elsewhere
	 * once it is back. Changes that still wait are rejected with `EvClosedError`.
	 */
	removeState<K extends keyof S & string>(key: K): void {
		if (this.#closed) return
		this.#drop(key)
		outsideContext(() => {
			this.#registry?.remove(key)
			this.#announce?.send({ type: 'remove', channel: key }).catch(ignore)
		})
	}

	/** Closes the states of this instance; other instances and the store keep theirs. Idempotent. */
	close(): void {
		if (this.#closed) return
		this.#closed = true
		this.#registry?.close()
		this.#announce?.onMessage(ignore)
		for (const name of [...this.#open.keys()]) this.#drop(name)
	}

	#make<K extends keyof S & string>(key: K, initialValue: S[K], follows: boolean): EvState<S[K]> {
		const { pubsub: _, ...options } = this.#options
		const adapter = this.#registry?.adapter(key, follows)
		const state = new EvState<S[K]>({ ...options, channel: key, initialValue, adapter })
		this.#states[key] = state
		this.#open.set(key, state)
		return state
	}

	#follow(name: string, initial: string | undefined): void {
		if (this.#closed || !isKey<S>(name)) return
		try {
			this.#make(name, initial === undefined ? undefined : JSON.parse(initial), true)
			this.#unfollowed.delete(name)
		} catch (error) {
			if (this.#unfollowed.has(name)) return
			this.#unfollowed.add(name)
			this.#settings.onError(error)
		}
	}

	#drop(name: string): void {
		this.#open.get(name)?.close()
		this.#open.delete(name)
		this.#unfollowed.delete(name)
		if (isKey<S>(name)) delete this.#states[name]
	}
}

/** Names from other instances are keys of `S`: their managers have the same one. */
function isKey<S extends object>(name: string): name is keyof S & string {
	return name !== ''
}

function ignore(): void {}

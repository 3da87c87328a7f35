import type { Cluster, Redis } from 'ioredis'

type ClientEvent = 'ready' | 'connect' | 'close' | 'end' | 'error'
type Callback = (error?: unknown) => void

/** The callbacks of one event of one client, behind one listener. */
class SharedListener {
	readonly #callbacks = new Set<Callback>()
	readonly #client: Redis | Cluster
	readonly #event: ClientEvent

	constructor(client: Redis | Cluster, event: ClientEvent) {
		this.#client = client
		this.#event = event
	}

	add(callback: Callback): () => void {
		const own: Callback = (error) => callback(error)
		if (this.#callbacks.size === 0) this.#client.on(this.#event, this.#call)
		this.#callbacks.add(own)
		return () => {
			if (this.#callbacks.delete(own) && this.#callbacks.size === 0) {
				this.#client.off(this.#event, this.#call)
			}
		}
	}

	readonly #call = (error?: unknown): void => {
		for (const callback of [...this.#callbacks]) callback(error)
	}
}

const listeners = new WeakMap<Redis | Cluster, Map<ClientEvent, SharedListener>>()

/**
 * Listens to an event of a client. There is one listener on the client for each event, because more than ten of them,
 * as with ten buses on one client, make Node warn of a leak.
 *
 * @returns The undo.
 */
export function onClient(client: Redis | Cluster, event: ClientEvent, callback: Callback): () => void {
	let events = listeners.get(client)
	if (events === undefined) {
		events = new Map()
		listeners.set(client, events)
	}
	let shared = events.get(event)
	if (shared === undefined) {
		shared = new SharedListener(client, event)
		events.set(event, shared)
	}
	return shared.add(callback)
}

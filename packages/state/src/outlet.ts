import { type EvChannelSource, EvInvalidMessageError, type EvMessage, encodeJson } from '@evstream/core'
import { keepContext, outsideContext } from './context.js'
import type { Settings } from './settings.js'
import type { EvStateHost, EvStateListener } from './types.js'

/** Where committed values go: to the clients of this instance and to the subscribers in this process. */
export class Outlet<T> {
	readonly #channel: string
	/** `{"value":` */
	readonly #prefix: string
	readonly #maxSize: number
	readonly #onError: (error: unknown) => void
	readonly #source: EvChannelSource
	readonly #listeners = new Set<{ readonly call: EvStateListener<T> }>()
	#message: EvMessage<string> | undefined
	#closed = false

	constructor(host: EvStateHost, channel: string, { key, snapshot, maxSize, onError }: Settings) {
		this.#channel = channel
		this.#prefix = `{${JSON.stringify(key)}:`
		this.#maxSize = maxSize
		this.#onError = onError
		// Not a callback of the app: it must not keep the context of the request that made the state.
		this.#source = outsideContext(() =>
			host.provide(channel, snapshot ? { snapshot: () => this.#message } : {}),
		)
	}

	/**
	 * The value as JSON; `undefined` for `undefined`.
	 *
	 * @throws EvInvalidMessageError if JSON cannot carry it or would change it silently, or it is over `maxSize`.
	 */
	encode(value: T): string | undefined {
		const json = encodeJson(value, `The state "${this.#channel}"`)
		// A UTF-16 unit takes at most three bytes.
		if (json !== undefined && json.length * 3 > this.#maxSize) {
			const size = Buffer.byteLength(json)
			if (size > this.#maxSize) {
				throw new EvInvalidMessageError(
					`The value of the state "${this.#channel}" would take ${size} bytes. Keep it under ${this.#maxSize}, or raise maxSize.`,
				)
			}
		}
		return json
	}

	/** What a new listener gets from now on. */
	prepare(json: string | undefined): void {
		const data = json === undefined ? '{}' : `${this.#prefix}${json}}`
		this.#message = { event: this.#channel, data }
	}

	/** Sends what was prepared to the clients. */
	broadcast(): void {
		if (this.#closed || this.#message === undefined) return
		try {
			this.#source.broadcast(this.#message)
		} catch (error) {
			this.#onError(error)
		}
	}

	/** Tells the subscribers. */
	notify(value: () => T, version: number): void {
		if (this.#listeners.size === 0) return
		const given = value()
		for (const listener of [...this.#listeners]) {
			if (!this.#listeners.has(listener)) continue
			try {
				listener.call(given, version)
			} catch (error) {
				this.#onError(error)
			}
		}
	}

	subscribe(call: EvStateListener<T>): () => void {
		if (typeof call !== 'function') throw new TypeError(`subscribe takes a function, not ${typeof call}.`)
		// An object of its own: the same function subscribed twice is called twice and undone one by one.
		const listener = { call: keepContext(call) }
		if (!this.#closed) this.#listeners.add(listener)
		return () => {
			this.#listeners.delete(listener)
		}
	}

	close(): void {
		if (this.#closed) return
		this.#closed = true
		this.#listeners.clear()
		this.#source.close()
	}
}

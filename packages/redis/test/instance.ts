import { EvStreamManager } from '@evstream/core'
import { EvState, EvStateManager, type EvStateOptions } from '@evstream/state'
import { listenHttp, openSse, type SseClient } from '@evstream/testkit'
import { EvRedisAdapter, type EvRedisAdapterOptions, type RedisSource } from '../src/index.js'

/** Everything a test opened, to be closed when it is over. */
export class Opened {
	readonly #closers: (() => unknown)[] = []

	add<T>(thing: T, close: (thing: T) => unknown): T {
		this.#closers.push(() => close(thing))
		return thing
	}

	/** The last one opened is closed first. */
	async close(): Promise<void> {
		for (const close of this.#closers.splice(0).reverse()) await close()
	}
}

/** One instance: a stream manager behind an HTTP server, and an adapter of its own. */
export class Instance {
	readonly manager: EvStreamManager = new EvStreamManager({ keepAlive: false })
	readonly adapter: EvRedisAdapter
	readonly errors: unknown[] = []
	readonly #opened: Opened

	constructor(opened: Opened, source: RedisSource, options: EvRedisAdapterOptions) {
		this.#opened = opened
		this.adapter = opened.add(
			new EvRedisAdapter(source, { onError: (error) => this.errors.push(error), ...options }),
			(adapter) => adapter.close(),
		)
		opened.add(this.manager, (manager) => manager.close({ drainMs: 0 }))
	}

	state<T>(channel: string, initialValue: T, options: Partial<EvStateOptions<T>> = {}): EvState<T> {
		const state = new EvState<T>({
			channel,
			initialValue,
			manager: this.manager,
			adapter: this.adapter,
			onError: (error) => this.errors.push(error),
			checkInterval: false,
			...options,
		})
		return this.#opened.add(state, () => state.close())
	}

	states<S extends object>(): EvStateManager<S> {
		const states = new EvStateManager<S>({
			manager: this.manager,
			adapter: this.adapter,
			onError: (error) => this.errors.push(error),
			checkInterval: false,
		})
		return this.#opened.add(states, () => states.close())
	}

	/** A client that listens to the channel. */
	async client(channel: string): Promise<SseClient> {
		const server = await listenHttp((req, res) => this.manager.createStream(req, res).listen(channel))
		this.#opened.add(server, () => server.close())
		return openSse(server.url)
	}
}

/** The values of a client's `{"value":n}` frames. */
export function values(client: SseClient): number[] {
	return client.events
		.filter(({ data }) => data.startsWith('{"value":'))
		.map(({ data }) => Number(/\d+/.exec(data)?.[0]))
}

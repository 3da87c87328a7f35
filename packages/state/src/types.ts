import type { EvChannelSource, EvMessage, EvStateAdapter } from '@evstream/core'

/** What a state needs of a stream manager: an `EvStreamManager` is one. */
export interface EvStateHost {
	/** Makes the channel one of a state: newcomers get the snapshot, slow clients only the newest message. */
	provide(
		channel: string,
		provider: { snapshot?: (() => EvMessage | undefined) | undefined },
	): EvChannelSource
}

/** What an `EvState` and all states of an `EvStateManager` can be told. */
export interface EvStateSettings {
	/** The property that carries the value in what the clients get: `{ [key]: value }`. Default `'value'`. */
	key?: string | undefined
	/** Gives each new listener the current value. Default `true`. */
	snapshot?: boolean | undefined
	/** The largest value, in bytes of JSON. Default 262,144 (256 KiB). */
	maxSize?: number | undefined
	/**
	 * With an adapter: how many changes may wait for the store, further ones are rejected. Changes of large values
	 * are bounded by memory too: about 64 MiB, but at least 100 changes. Default 100,000.
	 */
	maxPending?: number | undefined
	/** With an adapter: how long a change may take until it is rejected, in ms, at most 600,000. Default 30,000. */
	deadline?: number | undefined
	/**
	 * With an adapter: how often to compare with the store, in ms (±20 %), which repairs a missed message. `false`
	 * leaves it to reconnects. Default 30,000.
	 */
	checkInterval?: number | false | undefined
	/**
	 * Told what goes wrong: the store out of reach, malformed data, a subscriber that threw, a change that was
	 * rejected. Default: a process warning.
	 */
	onError?: ((error: unknown) => unknown) | undefined
}

/** Options of an `EvState`. */
export interface EvStateOptions<T> extends EvStateSettings {
	/** The name clients listen to; with an adapter also the name in the store. */
	channel: string
	/** The value at the beginning; with an adapter only if the store holds none. */
	initialValue: T
	/** The stream manager whose clients get the value. */
	manager: EvStateHost
	/** Shares the state with other instances. Default: the state is this process's own. */
	adapter?: EvStateAdapter | undefined
	/** Whether two values are the same, so that there is nothing to send. Default: deep equality. */
	equals?: ((a: T, b: T) => boolean) | undefined
}

/** Gets each committed value, with its version. */
export type EvStateListener<T> = (value: T, version: number) => void

/** What an `EvStateManager` needs of a pub/sub: an `EvRedisPubSub` is one. It must not deliver own messages. */
export interface EvStatePubSub {
	/** Sends a JSON value to the other instances. */
	send(message: unknown): Promise<void>
	/** Sets the one handler of messages. */
	onMessage(callback: (message: unknown) => void): void
	/** Resolves once messages of others arrive. Default: at once. */
	readonly ready?: Promise<void> | undefined
	/** Calls back when messages may have been missed; gives the undo. Default: never, then only `checkInterval` helps. */
	onRestored?(callback: () => void): () => void
}

/** Options of an `EvStateManager`. */
export interface EvStateManagerOptions extends EvStateSettings {
	/** The stream manager whose clients get the values. */
	manager: EvStateHost
	/** Shares values and the list of states with other instances. */
	adapter?: EvStateAdapter | undefined
	/**
	 * Tells other instances what was created and removed. Without an adapter that is all that is shared. The
	 * manager becomes its handler of messages.
	 */
	pubsub?: EvStatePubSub | undefined
}

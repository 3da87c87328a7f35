import { AsyncResource } from 'node:async_hooks'
import type { EvMessage } from '@evstream/core'
import type { EvStateHost, EvStatePubSub } from '../src/index.js'

/** A manager that only remembers what was broadcast. */
export class FakeManager implements EvStateHost {
	readonly sent: unknown[] = []
	readonly snapshots: Map<string, (() => EvMessage | undefined) | undefined> = new Map()

	provide(
		channel: string,
		provider: { snapshot?: (() => EvMessage | undefined) | undefined },
	): { broadcast(message: EvMessage): void; close(): void } {
		if (this.snapshots.has(channel)) throw new Error(`The channel "${channel}" has a provider already`)
		this.snapshots.set(channel, provider.snapshot)
		return {
			broadcast: (message) => this.sent.push(parsed(message)),
			close: () => void this.snapshots.delete(channel),
		}
	}

	/** What a new listener would get. */
	snapshot(channel: string): unknown {
		return parsed(this.snapshots.get(channel)?.())
	}
}

function parsed(message: EvMessage | undefined): unknown {
	return message && { event: message.event, data: JSON.parse(String(message.data)) }
}

/**
 * A pub/sub with nobody else on it. It holds whatever is sent, as a connection that is down does, and runs handlers
 * in the context in which they were given.
 */
export class LocalPubSub implements EvStatePubSub {
	readonly handlers: ((message: unknown) => void)[] = []
	readonly #unsent: (() => void)[] = []

	send(): Promise<void> {
		return new Promise((resolve) => this.#unsent.push(resolve))
	}

	onMessage(callback: (message: unknown) => void): void {
		this.handlers.push(AsyncResource.bind(callback))
	}
}

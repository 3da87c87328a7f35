import { beginWork, endWork } from './callbacks.js'
import { type Channel, checkName, type EvChannelProvider, type EvChannelSource } from './channel.js'
import type { ChannelSet } from './channel-set.js'
import { inItsContext } from './context.js'
import { EvInvalidMessageError } from './errors.js'
import type { FanOut } from './fan-out.js'
import { encodeMessage, Frame } from './frame.js'
import { now } from './timers.js'
import type { EvMessage } from './types.js'

/** The providers of channels: a snapshot for each new listener, and broadcasts that are not in the log. */
export class Providers {
	readonly #channels: ChannelSet
	readonly #fanOut: FanOut
	/** With history ids are positions in the log. */
	readonly #ownsIds: boolean

	constructor(channels: ChannelSet, fanOut: FanOut, ownsIds: boolean) {
		this.#channels = channels
		this.#fanOut = fanOut
		this.#ownsIds = ownsIds
	}

	/** @throws Error if the channel has a provider already. */
	provide(name: string, given: EvChannelProvider): EvChannelSource {
		checkName(name)
		const channel = this.#channels.getOrAdd(name)
		if (channel.provider !== undefined) {
			throw new Error(
				`The channel "${name}" has a provider already. Close that state first, or use another channel.`,
			)
		}
		const { snapshot } = given
		const provider = snapshot === undefined ? {} : { snapshot: inItsContext(snapshot.bind(given)) }
		channel.provider = provider
		return {
			broadcast: (message) => {
				if (channel.provider === provider) this.#broadcast(channel, this.#frameOf(message))
			},
			close: () => {
				if (channel.provider !== provider) return
				channel.provider = undefined
				this.#channels.forgetIfUnused(channel)
			},
		}
	}

	/** What a new listener of the channel gets first. Calls the app's `snapshot`. */
	greeting(name: string): Frame | undefined {
		const snapshot = this.#channels.get(name)?.provider?.snapshot?.()
		return snapshot === undefined ? undefined : this.#frameOf(snapshot)
	}

	#broadcast(channel: Channel, frame: Frame): void {
		beginWork()
		try {
			this.#fanOut.flush()
			const time = now()
			for (const writer of channel.listeners.keys()) {
				if (writer.writeNewest(channel, frame, time)) this.#fanOut.deliveries++
			}
			// Streams that replay have had a snapshot, so they get what is newer than it, however long the log takes.
			for (const writer of channel.replaying.keys()) {
				if (writer.writeNewest(channel, frame, time)) this.#fanOut.deliveries++
			}
		} finally {
			endWork()
		}
	}

	#frameOf(message: EvMessage): Frame {
		if (this.#ownsIds) refuseId(message.id)
		return new Frame(encodeMessage(message))
	}
}

/** With history ids are positions in the log, which no other id may overwrite. @throws EvInvalidMessageError */
export function refuseId(id: string | undefined): void {
	if (id === undefined) return
	throw new EvInvalidMessageError(
		'With history ids are positions in the log: send the message without an id.',
	)
}

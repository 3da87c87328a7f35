import type { Channel, Replaying, Subscriber } from './channel.js'
import type { Frame } from './frame.js'
import type { Hub } from './hub.js'
import type { LogPosition } from './log.js'
import type { Past } from './past.js'
import { refuseId } from './providers.js'
import { Stream, type StreamSetup } from './stream.js'
import type { StreamRegistry } from './stream-registry.js'
import type { EvCloseReason, EvListenOptions, EvManagedStream, EvMessage } from './types.js'
import { writeAll } from './write-all.js'

const NONE: readonly never[] = []

type Bound = { -readonly [Name in keyof EvManagedStream]?: EvManagedStream[Name] }

/** The one implementation of {@link EvManagedStream}, which documents its members. */
export class ManagedStream extends Stream implements EvManagedStream, Subscriber {
	channels: readonly Channel[] = NONE
	replaying: Replaying | undefined
	told: LogPosition | undefined
	past: Past | undefined
	readonly number: number
	readonly #registry: StreamRegistry<ManagedStream>
	readonly #hub: Hub

	// Bound when they are taken off for the first time. By `bind`: a closure of each stream would cost twice as much.
	#message: EvManagedStream['message'] | undefined
	#listen: EvManagedStream['listen'] | undefined
	/** The others, which most streams never use. */
	#others: Bound | undefined

	constructor(registry: StreamRegistry<ManagedStream>, hub: Hub, number: number, setup: StreamSetup) {
		super(setup)
		this.#registry = registry
		this.#hub = hub
		this.number = number
	}

	get id(): string {
		return this.#registry.idOf(this.number)
	}

	get authenticate(): EvManagedStream['authenticate'] {
		this.#others ??= {}
		this.#others.authenticate ??= this.admit.bind(this)
		return this.#others.authenticate
	}

	get message(): EvManagedStream['message'] {
		this.#message ??= this.writeMessage.bind(this)
		return this.#message
	}

	get listen(): EvManagedStream['listen'] {
		this.#listen ??= listen.bind(this)
		return this.#listen
	}

	get unlisten(): EvManagedStream['unlisten'] {
		this.#others ??= {}
		this.#others.unlisten ??= unlisten.bind(this)
		return this.#others.unlisten
	}

	get drain(): EvManagedStream['drain'] {
		this.#others ??= {}
		this.#others.drain ??= this.writer.drained.bind(this.writer)
		return this.#others.drain
	}

	get from(): EvManagedStream['from'] {
		this.#others ??= {}
		this.#others.from ??= writeAll.bind(undefined, this)
		return this.#others.from
	}

	get close(): EvManagedStream['close'] {
		this.#others ??= {}
		this.#others.close ??= this.endByApp.bind(this)
		return this.#others.close
	}

	get onClose(): EvManagedStream['onClose'] {
		this.#others ??= {}
		this.#others.onClose ??= this.whenEnded.bind(this)
		return this.#others.onClose
	}

	override frameOf(message: EvMessage): Frame {
		if (this.#hub.ownsIds) refuseId(message.id)
		return super.frameOf(message)
	}

	override flush(): void {
		this.#hub.flush()
	}

	override recovered(): void {
		this.#hub.recovered(this)
	}

	/** Listens to a channel; see {@link EvManagedStream.listen}. */
	subscribe(name: string, options: EvListenOptions): void {
		this.#hub.listen(this, name, options)
	}

	/** Listens to the channel no more. */
	unsubscribe(name: string): void {
		this.#hub.unlisten(this, name)
	}

	protected override channelNames(): string[] {
		return this.channels.map(({ name }) => name)
	}

	protected override onEnded(reason: EvCloseReason): void {
		this.#hub.leave(this)
		this.#registry.ended(this, reason)
	}

	protected override onResponseClosed(): void {
		this.#registry.responseClosed(this)
	}
}

function listen(this: ManagedStream, name: string, options: EvListenOptions = {}): void {
	this.subscribe(name, options)
}

function unlisten(this: ManagedStream, name: string): void {
	this.unsubscribe(name)
}

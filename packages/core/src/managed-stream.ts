import type { Channel } from './channel.js'
import type { Replay } from './replay.js'
import type { Session, SessionHost } from './session.js'
import type { EvCloseReason, EvListenOptions, EvManagedStream } from './types.js'

/** What a managed stream needs of its manager. */
export interface StreamManager {
	readonly idPrefix: string
	/** With history ids are positions in the log, which no other id may overwrite. */
	readonly ownsIds: boolean
	flush(): void
	listen(stream: ManagedStream, name: string, options: EvListenOptions): void
	unlisten(stream: ManagedStream, name: string): void
	left(stream: ManagedStream, reason: EvCloseReason): void
	gone(stream: ManagedStream): void
	recovered(stream: ManagedStream): void
}

const NONE: readonly never[] = []

type Bound = { -readonly [Name in keyof EvManagedStream]?: EvManagedStream[Name] }

/** The one implementation of {@link EvManagedStream}, which documents its members. */
export class ManagedStream implements EvManagedStream, SessionHost {
	readonly session: Session
	/** The channels it listens to; once it has ended, those it listened to then. */
	channels: readonly Channel<ManagedStream>[] = NONE
	/** What it began to listen to in this tick. */
	replay: Replay | undefined
	readonly number: number
	readonly manager: StreamManager

	// Bound when they are taken off for the first time. By `bind`: a closure of each stream would cost twice as much.
	#message: EvManagedStream['message'] | undefined
	#listen: EvManagedStream['listen'] | undefined
	/** The others, which most streams never use. */
	#others: Bound | undefined

	constructor(manager: StreamManager, number: number, open: (host: SessionHost) => Session) {
		this.manager = manager
		this.number = number
		this.session = open(this)
	}

	get id(): string {
		return this.manager.idPrefix + this.number.toString(36)
	}

	get closed(): boolean {
		return this.session.closed
	}

	get lastEventId(): string | undefined {
		return this.session.lastEventId
	}

	get signal(): AbortSignal {
		return this.session.signal
	}

	get authenticate(): EvManagedStream['authenticate'] {
		this.#others ??= {}
		this.#others.authenticate ??= this.session.authenticate.bind(this.session)
		return this.#others.authenticate
	}

	get message(): EvManagedStream['message'] {
		this.#message ??= this.session.message.bind(this.session)
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
		this.#others.drain ??= this.session.drain.bind(this.session)
		return this.#others.drain
	}

	get from(): EvManagedStream['from'] {
		this.#others ??= {}
		this.#others.from ??= this.session.from.bind(this.session)
		return this.#others.from
	}

	get close(): EvManagedStream['close'] {
		this.#others ??= {}
		this.#others.close ??= this.session.close.bind(this.session)
		return this.#others.close
	}

	get onClose(): EvManagedStream['onClose'] {
		this.#others ??= {}
		this.#others.onClose ??= this.session.onClose.bind(this.session)
		return this.#others.onClose
	}

	get ownsIds(): boolean {
		return this.manager.ownsIds
	}

	flush(): void {
		this.manager.flush()
	}

	channelNames(): string[] {
		return this.channels.map(({ name }) => name)
	}

	ended(reason: EvCloseReason): void {
		this.manager.left(this, reason)
	}

	gone(): void {
		this.manager.gone(this)
	}

	recovered(): void {
		this.manager.recovered(this)
	}
}

function listen(this: ManagedStream, name: string, options: EvListenOptions = {}): void {
	this.manager.listen(this, name, options)
}

function unlisten(this: ManagedStream, name: string): void {
	this.manager.unlisten(this, name)
}

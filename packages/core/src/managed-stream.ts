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

/** The one implementation of {@link EvManagedStream}, which documents its members. */
export class ManagedStream implements EvManagedStream, SessionHost {
	readonly session: Session
	/** The channels it listens to. */
	readonly channels: Set<Channel<ManagedStream>> = new Set()
	/** What it began to listen to in this tick. */
	replay: Replay | undefined
	readonly number: number
	readonly #manager: StreamManager

	// A function is bound when it is taken off for the first time: most streams use two or three of them.
	#authenticate: EvManagedStream['authenticate'] | undefined
	#message: EvManagedStream['message'] | undefined
	#listen: EvManagedStream['listen'] | undefined
	#unlisten: EvManagedStream['unlisten'] | undefined
	#drain: EvManagedStream['drain'] | undefined
	#from: EvManagedStream['from'] | undefined
	#close: EvManagedStream['close'] | undefined
	#onClose: EvManagedStream['onClose'] | undefined

	constructor(manager: StreamManager, number: number, open: (host: SessionHost) => Session) {
		this.#manager = manager
		this.number = number
		this.session = open(this)
	}

	get id(): string {
		return this.#manager.idPrefix + this.number.toString(36)
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
		this.#authenticate ??= () => this.session.authenticate()
		return this.#authenticate
	}

	get message(): EvManagedStream['message'] {
		this.#message ??= (message) => this.session.message(message)
		return this.#message
	}

	get listen(): EvManagedStream['listen'] {
		this.#listen ??= (name, options = {}) => this.#manager.listen(this, name, options)
		return this.#listen
	}

	get unlisten(): EvManagedStream['unlisten'] {
		this.#unlisten ??= (name) => this.#manager.unlisten(this, name)
		return this.#unlisten
	}

	get drain(): EvManagedStream['drain'] {
		this.#drain ??= () => this.session.drain()
		return this.#drain
	}

	get from(): EvManagedStream['from'] {
		this.#from ??= (source) => this.session.from(source)
		return this.#from
	}

	get close(): EvManagedStream['close'] {
		this.#close ??= (onClose) => this.session.close(onClose)
		return this.#close
	}

	get onClose(): EvManagedStream['onClose'] {
		this.#onClose ??= (callback) => this.session.onClose(callback)
		return this.#onClose
	}

	get ownsIds(): boolean {
		return this.#manager.ownsIds
	}

	flush(): void {
		this.#manager.flush()
	}

	ended(reason: EvCloseReason): string[] {
		const names = [...this.channels].map(({ name }) => name)
		this.#manager.left(this, reason)
		return names
	}

	gone(): void {
		this.#manager.gone(this)
	}

	recovered(): void {
		this.#manager.recovered(this)
	}
}

import type { Channel, Subscriber } from './channel.js'
import type { ClientWriter } from './client-writer.js'
import type { LogEntry } from './log.js'
import type { EvSendOptions } from './types.js'

/** Says which streams a message is for. */
export type Filter = NonNullable<EvSendOptions['filter']>

/** What a {@link Visibility} needs of its manager. */
export interface VisibilityContext {
	/** The stream with this id, if it is on this instance. */
	find(id: string): Pick<Subscriber, 'writer'> | undefined
	onError(error: unknown): void
}

/** Who may see a message that was sent with `except` or `filter`: live, and when it is replayed. */
export class Visibility {
	readonly #context: VisibilityContext
	/** The filters of entries that the in-memory log keeps: a replay must not show what they hid. */
	readonly #filters = new WeakMap<LogEntry, Filter>()

	constructor(context: VisibilityContext) {
		this.#context = context
	}

	/** Applies the filter to replays of the entry too. */
	keep(entry: LogEntry, filter: Filter): void {
		this.#filters.set(entry, filter)
	}

	/** Whether there may be streams that may not see the entry. */
	isPrivate(entry: LogEntry): boolean {
		return entry.except !== undefined || this.#filters.has(entry)
	}

	/** Whether the stream may see an entry of the log. */
	mayGet(stream: Subscriber, entry: LogEntry): boolean {
		if (entry.except !== undefined && entry.except === stream.id) return false
		const filter = this.#filters.get(entry)
		return filter === undefined || this.#passes(filter, stream)
	}

	/** Asks the filter about each listener, outside of any loop that writes. @returns which writers get the message. */
	select(
		channel: Channel,
		except: string | undefined,
		filter: Filter | undefined,
	): (writer: ClientWriter) => boolean {
		const left = except === undefined ? undefined : this.#context.find(except)?.writer
		if (filter === undefined) return (writer) => writer !== left
		const allowed = new Set<ClientWriter>()
		for (const [writer, stream] of [...channel.listeners])
			if (this.#passes(filter, stream)) allowed.add(writer)
		return (writer) => writer !== left && allowed.has(writer)
	}

	/** A filter may keep a secret: if it throws, the stream does not get the message. */
	#passes(filter: Filter, stream: Subscriber): boolean {
		try {
			return filter(stream) === true
		} catch (error) {
			this.#context.onError(error)
			return false
		}
	}
}

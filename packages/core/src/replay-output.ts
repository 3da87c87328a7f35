import type { Subscriber } from './channel.js'
import { Frame } from './frame.js'
import { frameOf, frameOfAll, type HistoryPage, positionFrame, resetFrame } from './history.js'
import type { LogEntry, LogPosition, ResetReason } from './log.js'
import { restartAt } from './past.js'
import type { ReplayContext } from './replay-context.js'
import type { ReplayCursor } from './replay-cursor.js'
import { now } from './timers.js'

/** Writes to the stream of a replay, and knows what its client was told. */
export class ReplayOutput {
	readonly #context: ReplayContext
	readonly #stream: Subscriber
	readonly #cursor: ReplayCursor
	/** The position that the client's last id says; `undefined` if that is the id of an entry. */
	#told: LogPosition | undefined

	constructor(context: ReplayContext, stream: Subscriber, cursor: ReplayCursor) {
		this.#context = context
		this.#stream = stream
		this.#cursor = cursor
	}

	/** Whether the entry is for this stream. */
	wants(entry: LogEntry): boolean {
		return this.#cursor.channels.has(entry.channel) && this.#context.mayGet(this.#stream, entry)
	}

	/** Writes encoded messages. */
	writeText(text: string): void {
		if (text !== '') this.#write(new Frame(text))
	}

	/** Writes those of the entries that the stream wants. */
	writeAll(entries: readonly LogEntry[]): void {
		const wanted = entries.filter((entry) => this.wants(entry))
		if (wanted.length > 0) this.#write(frameOfAll(wanted))
	}

	/** Writes a page up to `maxBuffer` bytes. @returns how many of its entries were done. */
	writePage({ entries, frame, hidden }: HistoryPage): number {
		const isWhole =
			entries.every(({ channel }) => this.#cursor.channels.has(channel)) &&
			hidden.every((entry) => this.wants(entry))
		const { maxBuffer } = this.#stream.writer.settings
		if (!isWhole || frame === undefined || (frame.length > maxBuffer && entries.length > 1))
			return this.#writeEntries(entries, maxBuffer)
		this.#write(frame)
		return entries.length
	}

	/** Tells the client its position, unless its last id says it. */
	tell(position: LogPosition): void {
		this.#stream.told = position
		if (this.#told?.epoch === position.epoch && this.#told.seq === position.seq) return
		this.#write(positionFrame(position))
		this.#told = position
	}

	/** Everything before `position` is given up; what comes after it is not. */
	resetAt(position: LogPosition, reason: ResetReason): void {
		this.#cursor.restartAt(position)
		this.#reset(reason)
	}

	/** The older messages of late channels are given up; the other channels go on where they are. */
	resetLate(reason: ResetReason): void {
		this.#cursor.late.clear()
		this.#reset(reason)
	}

	#reset(reason: ResetReason): void {
		const { position } = this.#cursor
		this.#context.count('resets')
		this.#write(resetFrame(position, reason))
		restartAt(this.#stream, position)
		this.#told = position
	}

	#writeEntries(entries: readonly LogEntry[], maxBuffer: number): number {
		const frames: Frame[] = []
		let bytes = 0
		let done = 0
		for (const entry of entries) {
			const frame = this.wants(entry) ? frameOf(entry) : undefined
			if (frame !== undefined && bytes > 0 && bytes + frame.length > maxBuffer) break
			if (frame !== undefined) {
				frames.push(frame)
				bytes += frame.length
			}
			done++
		}
		if (frames.length > 0) this.#write(new Frame(frames))
		return done
	}

	#write(frame: Frame): void {
		this.#told = undefined
		this.#stream.writer.writeCorked(frame, now())
	}
}

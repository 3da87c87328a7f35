import type { Check } from './faults.js'
import { lateOf, OVERHEAD, type Sent, type SentLog, seqOf, tagOf } from './sent.js'

/** One event, as a client sees it. */
export interface Seen {
	readonly event: string
	readonly id: string | undefined
	readonly data: string
}

/** What a connection is owed of one channel. */
interface Duty {
	readonly channel: string
	/** Everything later than the message with this number is owed; `undefined`: from the first one that comes. */
	at: number | undefined
	/** The index in the channel's line of the first message that may still be owed. */
	index: number
	/** Bytes of the channel when it began to listen: what was sent later is live. */
	total: number
	/** It does not listen any more: nothing later than this may come, and nothing more is owed. */
	until: number | undefined
	/** Until this mark was seen, ids may pass what is owed: they were written before the `listen`. */
	mark: number | undefined
	/** The number of the oldest message that it may get. */
	oldest: number
	/** Messages up to this one may be written before what is owed, since they stood in line already. */
	inLine: number
	/** It asked for the newest again: messages up to this one may come again. */
	mayRepeat: number
	/** It listens again: messages up to this one may come, but are not owed. */
	away: number
	/** The turn in which it asked for the newest messages, while it is certain which ones these are. */
	certain: number | undefined
}

/** What the book has to know of its connection. */
export interface BookOptions {
	readonly log: SentLog
	readonly history: boolean
	/** Everything is kept. */
	readonly ample: boolean
	/** Whether messages may be left out now, with a reset behind them. */
	readonly mayDrop: () => boolean
	/** The position the client came with: a message's number, or -1 if no log knows it. */
	readonly from: number | undefined
	/** Of channels, by their tags, that it had only up to an earlier one: that one. */
	readonly late: ReadonlyMap<string, number>
	readonly bit: number
	fault(check: Check, text: string): void
}

/** Checks what one connection gets against what it is owed. */
export class Book {
	readonly #options: BookOptions
	readonly #duties = new Map<string, Duty>()
	/** The id of its stream. */
	streamId: string | undefined
	resets: { reason: string; n: number }[] = []
	#seq = -1
	#n = 0
	#marks = new Set<number>()
	/** Direct messages: their numbers and data. */
	readonly #direct: { n: number; data: string }[] = []
	#directAt = 0
	#stateSeen = -1
	/** Of each iterator: the next item, and how many were written if all of them were. */
	readonly #items = new Map<number, { next: number; count: number | undefined }>()

	constructor(options: BookOptions) {
		this.#options = options
	}

	/** The position that the client came with. */
	get from(): number | undefined {
		return this.#options.from
	}

	/** The newest version of the state that it saw. */
	get stateSeen(): number {
		return this.#stateSeen
	}

	listens(channel: string): boolean {
		const duty = this.#duties.get(channel)
		return duty !== undefined && duty.until === undefined
	}

	/** Takes a `listen` down. `mark`: one that was sent just before it, if it is not the first tick. */
	listen(channel: string, last: number, mark: number | undefined, turn: number): void {
		if (this.listens(channel)) return
		const { log, from, history } = this.#options
		const again = this.#duties.get(channel)
		const { messages, total } = log.line(channel)
		const duty: Duty = {
			channel,
			at: log.last,
			index: 0,
			total,
			until: undefined,
			mark,
			oldest: log.last + 1,
			certain: undefined,
			inLine: 0,
			away: 0,
			mayRepeat: again !== undefined && history && from === undefined && last > 0 ? log.last : 0,
		}
		const asksForNewest = history && from === undefined && last > 0
		if (again !== undefined) {
			// It may have some of what was sent until now, or all of it, but none twice. What was written before it left may
			// still be on its way.
			const newest = asksForNewest ? messages[Math.max(0, messages.length - last)]?.n : undefined
			duty.at = again.at
			duty.away = log.last
			duty.index = again.index
			duty.oldest = Math.min(again.oldest, newest ?? again.oldest)
		} else if (history && from === -1) {
			// It was reset, and has everything from there.
			duty.at = undefined
			duty.oldest = 0
		} else if (history && from !== undefined && from >= 0) {
			const low = this.#options.late.get(tagOf(channel))
			const restart = this.resets.at(-1)?.n
			duty.at = restart ?? (low === undefined ? from : log.numberAt(low))
			duty.oldest = duty.at + 1
		} else if (asksForNewest) {
			const oldest = messages[Math.max(0, messages.length - last)]
			if (oldest !== undefined) {
				// Of a channel that it listens to later, it may be cut before it has them, and does not get them again.
				const isOwed = this.#options.ample && mark === undefined
				duty.at = isOwed ? (messages[messages.length - last - 1]?.n ?? 0) : undefined
				duty.oldest = oldest.n
				duty.certain = turn
			}
		}
		this.#duties.set(channel, duty)
	}

	/** What was sent so far may come before what is owed of the channel. */
	inLine(channel: string): void {
		const duty = this.#duties.get(channel)
		if (duty !== undefined) duty.inLine = this.#options.log.last
	}

	/** A message is sent to a channel: in the turn of the `listen` it may be one of the newest that were asked for. */
	sends(channel: string, turn: number): void {
		const duty = this.#duties.get(channel)
		if (duty?.certain === turn) duty.at = undefined
	}

	unlisten(channel: string): void {
		const duty = this.#duties.get(channel)
		if (duty !== undefined && duty.until === undefined) duty.until = this.#options.log.last
	}

	/** Takes a direct message down, before it is sent. */
	direct(n: number, data: string): void {
		this.#direct.push({ n, data })
	}

	/** The direct message was not taken. */
	undirect(n: number): void {
		const at = this.#direct.findIndex((message) => message.n === n)
		if (at >= 0) this.#direct.splice(at, 1)
	}

	/** Items are about to be written; `itemsWritten` says that all of them were. */
	iterate(run: number): void {
		this.#items.set(run, { next: 0, count: undefined })
	}

	itemsWritten(run: number, count: number): void {
		const items = this.#items.get(run)
		if (items !== undefined) items.count = count
	}

	/** Bytes that it was sent before the given turn, since it listens, and has not got. */
	owedBefore(turn: number): number {
		let bytes = 0
		for (const duty of this.#duties.values()) {
			if (duty.until !== undefined) continue
			const before = this.#options.log.line(duty.channel).totalBefore(turn)
			const due = this.#nextDue(duty)
			if (due === undefined && duty.at !== undefined) continue
			const got = due === undefined ? 0 : due.total - due.data.length - OVERHEAD
			bytes += Math.max(0, before - Math.max(got, duty.total))
		}
		for (let at = this.#directAt; at < this.#direct.length; at++) bytes += this.#direct[at]?.data.length ?? 0
		return bytes
	}

	/** What is owed and has not come, in words. */
	owed(): string | undefined {
		for (const duty of this.#duties.values()) {
			if (duty.until !== undefined) continue
			const next = this.#nextDue(duty)
			if (next !== undefined) return `message ${next.n} (${next.id}) of ${duty.channel}`
		}
		const direct = this.#direct[this.#directAt]
		const wasReset = this.resets.some(({ reason }) => reason === 'slow')
		if (direct !== undefined && !(this.#options.mayDrop() && wasReset)) return `direct message ${direct.n}`
		for (const [run, { next, count }] of this.#items)
			if (count !== undefined && next < count && !wasReset) return `item ${next} of iterator ${run}`
		const listens = [...this.#duties.values()].some(({ until }) => until === undefined)
		if (listens && this.#options.history && this.#options.from === -1 && this.resets.length === 0)
			return 'a reset: its id was none of the log'
		return undefined
	}

	/** Takes down what came. */
	seen({ event, id, data }: Seen): void {
		const kind = event.charAt(0)
		const n = Number(event.slice(1))
		if (event === 'position' || event === 'reset') this.#told(event, id, data)
		else if (kind === 'm' && Number.isInteger(n)) this.#message(n, id, data)
		else if (kind === 'd' && Number.isInteger(n)) this.#directMessage(n, id, data)
		else if (kind === 'k') this.#marks.add(n)
		else if (kind === 'i') this.#item(event, data)
		else if (event === 'state') {
			if (id !== undefined) this.#fault('ids', `a snapshot has the id ${id}`)
			const version = Number(data)
			if (version < this.#stateSeen)
				this.#fault('order', `version ${version} of the state after ${this.#stateSeen}`)
			this.#stateSeen = version
		}
	}

	#message(n: number, id: string | undefined, data: string): void {
		const { log, history } = this.#options
		const sent = log.find(n)
		const duty = sent === undefined ? undefined : this.#duties.get(sent.channel)
		if (sent === undefined || duty === undefined) {
			this.#fault('content', `message ${n}, which it was not sent`)
			return
		}
		const what = `message ${n} (${id}) of ${sent.channel}`
		if (data !== sent.data)
			this.#fault('content', `${what} has ${data.length} characters of ${sent.data.length}`)
		if (this.#isHidden(sent) || sent.refused) this.#fault('content', `${what} is not for this stream`)
		if (duty.until !== undefined && n > duty.until) this.#fault('content', `${what} was sent after unlisten`)
		if (history) {
			const late = id === undefined ? undefined : lateOf(id).get(tagOf(sent.channel))
			if (sent.id === undefined && id !== undefined && late === undefined) log.accepted(sent, id)
			// An older message of a channel that it began to listen to later says both: its place, and the connection's.
			if (late === undefined ? id === undefined || id !== sent.id : log.numberAt(late) !== n)
				this.#fault('ids', `${what} was sent as ${sent.id}`)
			const seq = id === undefined ? this.#seq : seqOf(id)
			// Equal to a place it was told, or to that of older messages of a late channel; never twice, see below.
			if (seq < this.#seq) this.#fault('ids', `${what} came after place ${this.#seq}`)
			this.#seq = Math.max(seq, this.#seq)
		} else this.#inOrder(n, what)
		const due = this.#nextDue(duty)
		if (duty.at === undefined) {
			if (n < duty.oldest) this.#fault('content', `${what} is older than what it asked for`)
		} else if (n <= duty.at && n > duty.mayRepeat) {
			this.#fault('ids', `${what} came again, or it was not asked for: it is owed what is after ${duty.at}`)
		} else if (due !== undefined && due.n < n) {
			this.#fault('complete', `${what} came, and before it message ${due.n} (${due.id}) is missing`)
		}
		duty.at = Math.max(n, duty.at ?? 0)
		this.#forwardTo(duty)
		this.#passes(history && id !== undefined ? log.numberAt(seqOf(id)) : n, what, id)
	}

	#directMessage(n: number, id: string | undefined, data: string): void {
		if (id !== undefined) this.#fault('ids', `direct message ${n} has the id ${id}`)
		const at = this.#direct.findIndex((message) => message.n === n)
		const sent = this.#direct[at]
		if (sent === undefined) {
			this.#fault('content', `direct message ${n}, which it was not sent`)
			return
		}
		if (at < this.#directAt) this.#fault('order', `direct message ${n} came again, or too late`)
		if (at > this.#directAt) {
			if (!this.#options.mayDrop())
				this.#fault(
					'complete',
					`direct message ${n} came, and before it ${this.#direct[this.#directAt]?.n} is missing`,
				)
		}
		if (data !== sent.data) this.#fault('content', `direct message ${n} is not as it was sent`)
		if (!this.#options.history) this.#inOrder(n, `direct message ${n}`)
		this.#directAt = Math.max(this.#directAt, at + 1)
	}

	#item(event: string, data: string): void {
		const [run = Number.NaN, index = Number.NaN] = event.slice(1).split('.').map(Number)
		const items = this.#items.get(run)
		if (items === undefined) {
			this.#fault('content', `an item of iterator ${run}, which is not its own`)
			return
		}
		if (index < items.next) this.#fault('order', `item ${index} of iterator ${run} after ${items.next - 1}`)
		if (index > items.next && !this.#options.mayDrop())
			this.#fault('complete', `item ${index} of iterator ${run} came, and ${items.next} is missing`)
		if (data.length !== Number(/^\d+/.exec(data)?.[0]))
			this.#fault('content', `item ${index} of iterator ${run} is not as it was written`)
		items.next = Math.max(items.next, index + 1)
	}

	/** A `position` or a `reset`. */
	#told(event: string, id: string | undefined, data: string): void {
		const { history, log } = this.#options
		if (!history) {
			if (event === 'reset') this.#reset(data, undefined)
			if (id !== undefined) this.#fault('ids', `a ${event} has the id ${id} without history`)
			return
		}
		if (id === undefined) {
			// A newcomer to which nothing with an id was written has no place to go on from.
			if (event === 'reset' && this.#seq === -1 && this.#options.from === undefined)
				this.#reset(data, undefined)
			else this.#fault('ids', `a ${event} has no id`)
			return
		}
		const seq = seqOf(id)
		if (seq < this.#seq) this.#fault('ids', `a ${event} at ${id} came after place ${this.#seq}`)
		this.#seq = Math.max(seq, this.#seq)
		const n = log.numberAt(seq)
		if (Number.isNaN(n)) this.#fault('ids', `a ${event} at ${id}, which no message has`)
		else if (event === 'reset') this.#reset(data, n)
		else this.#passes(n, `position ${id}`, id)
	}

	#reset(data: string, n: number | undefined): void {
		const match = /"reason":"(\w+)"/.exec(data)
		this.resets.push({ reason: match?.[1] ?? data, n: n ?? -1 })
		for (const duty of this.#duties.values()) {
			duty.at = n === undefined ? undefined : Math.max(n, duty.at ?? 0)
			this.#forwardTo(duty)
		}
	}

	/** An id says "everything up to here was written". */
	#passes(n: number, what: string, id = ''): void {
		if (!this.#options.history) return
		const late = lateOf(id)
		for (const duty of this.#duties.values()) {
			if (duty.until !== undefined) continue
			if (duty.mark !== undefined && !this.#marks.has(duty.mark)) continue
			if (n <= duty.inLine) continue
			const due = this.#nextDue(duty)
			const low = late.get(tagOf(duty.channel))
			if (due !== undefined && due.n < n && (low === undefined || due.n <= this.#options.log.numberAt(low)))
				this.#fault('passed', `${what} came before message ${due.n} (${due.id}) of ${duty.channel}`)
		}
	}

	#inOrder(n: number, what: string): void {
		if (n < this.#n) this.#fault('order', `${what} came after message ${this.#n}`)
		this.#n = Math.max(n, this.#n)
	}

	/** The first message of the channel that has to come next. */
	#nextDue(duty: Duty): Sent | undefined {
		if (duty.at === undefined) return undefined
		const { messages } = this.#options.log.line(duty.channel)
		for (;;) {
			const next = messages[duty.index]
			if (next === undefined) return undefined
			if (next.n > Math.max(duty.at, duty.away) && !this.#isHidden(next) && !next.refused) return next
			duty.index++
		}
	}

	#forwardTo(duty: Duty): void {
		if (duty.at === undefined) return
		const { messages } = this.#options.log.line(duty.channel)
		while ((messages[duty.index]?.n ?? Number.POSITIVE_INFINITY) <= duty.at) duty.index++
	}

	#isHidden({ except, allowed }: Sent): boolean {
		return (except !== undefined && except === this.streamId) || (allowed & this.#options.bit) === 0
	}

	#fault(check: Check, text: string): void {
		this.#options.fault(check, text)
	}
}

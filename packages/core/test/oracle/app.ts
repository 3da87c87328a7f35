import {
	type EvChannelSource,
	type EvManagedStream,
	type EvMessage,
	type EvResponse,
	type EvSendOptions,
	EvStreamManager,
} from '../../src/index.js'
import type { Clock } from './clock.js'
import type { Check } from './faults.js'
import type { Random } from './random.js'
import { OVERHEAD, type SentLog } from './sent.js'
import type { Visit } from './visit.js'
import type { World } from './world.js'

/** Thrown by the app's own callbacks: it must reach `onError` and nobody else. */
export class Thrown extends Error {
	override readonly name: string = 'Thrown'
}

/** Text that a compressor cannot make much smaller. */
const TEXT = ((): string => {
	let text = ''
	let state = 1
	while (text.length < 1 << 22) {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
		text += (state >>> 0).toString(36)
	}
	return text
})()

/** The options of a stream, for each kind of request. */
export interface StreamOptions {
	readonly maxBuffer?: number
	readonly authentication?: { method: 'custom'; verify: () => Promise<boolean> }
}

export interface AppHost {
	readonly world: World
	readonly log: SentLog
	readonly clock: Clock
	readonly visits: Visit[]
	note(text: string): void
	fault(check: Check, text: string): void
}

/** The application on top of the library: its handlers, its callbacks, what it does with its streams. */
export class App {
	readonly manager: EvStreamManager
	readonly errors: unknown[] = []
	/** The state's version. */
	version = 0
	closing = false
	readonly #host: AppHost
	#isFiltering = false
	readonly #byStream = new Map<string, Visit>()
	readonly #source: EvChannelSource | undefined
	/** How often callbacks may still do something: two that answer each other must come to an end. */
	#reactions = 25
	#runs = 0

	constructor(host: AppHost) {
		this.#host = host
		const { world } = host
		const { history, size, slow, maxBuffer, stallTimeout, state } = world
		this.manager = new EvStreamManager({
			slow,
			maxBuffer,
			stallTimeout,
			onError: (error) => void this.errors.push(error),
			...(history === 'none' ? {} : { history: { size } }),
		})
		if (state !== undefined) {
			const random = world.random.fork('snapshot')
			this.#source = this.manager.provide(state, {
				snapshot: () => {
					if (random.chance(0.1)) this.react(random, 'the snapshot')
					return this.#stateMessage()
				},
			})
		}
	}

	/** Takes a request; `create` makes the stream. `false`: the manager is closed. */
	accept(visit: Visit, create: (options: StreamOptions) => EvManagedStream): boolean {
		const { plan, random } = visit
		this.#host.clock.move()
		let stream: EvManagedStream
		try {
			stream = create({
				...(plan.maxBuffer === undefined ? {} : { maxBuffer: plan.maxBuffer }),
				...(plan.verified || plan.kind === 'leaver'
					? { authentication: { method: 'custom', verify: () => this.#verify(visit) } }
					: {}),
			})
		} catch (error) {
			visit.refused = true
			if (!this.closing) this.#host.fault('errors', `${visit.name} was refused: ${error}`)
			return false
		}
		this.#host.note(`${visit.name} arrived with ${stream.lastEventId}`)
		visit.stream = stream
		visit.book.streamId = stream.id
		this.#byStream.set(stream.id, visit)
		const leaveOut = random.fork('callbacks')
		stream.onClose((_channels, reason) => {
			visit.ends.push(reason)
			this.#host.clock.move()
			this.#host.note(`${visit.name} ended: ${reason}`)
			if (!visit.mayEnd.has(reason) && !this.#mayBe(visit, reason))
				this.#host.fault(
					reason === 'slow' || reason === 'stalled' ? 'slow' : 'ends',
					`${visit.name} (${plan.kind}) ended as ${reason}; its reasons: ${[...visit.mayEnd]}`,
				)
			if (!plan.acts) return
			this.react(leaveOut, `onClose of ${visit.name}`)
			if (leaveOut.chance(0.2)) throw new Thrown('of onClose')
		})
		// A stream that ended at once has a signal that says so, and no event follows.
		if (stream.signal.aborted) visit.aborts++
		stream.signal.addEventListener('abort', () => {
			visit.aborts++
			if (plan.acts && leaveOut.chance(0.3)) this.react(leaveOut, `the signal of ${visit.name}`)
		})
		if (plan.verified || plan.kind === 'leaver') {
			stream.authenticate().then(
				(letIn) => {
					if (letIn === true) this.#greet(visit, stream)
				},
				(error: unknown) => this.#host.fault('errors', `authenticate rejected: ${error}`),
			)
		} else this.#greet(visit, stream)
		return true
	}

	/** Wraps the response as the world or the client's plan says. */
	wrap(visit: Visit, res: EvResponse): void {
		const write: unknown = Reflect.get(res, 'write')
		if (typeof write !== 'function') return
		const throwAt = visit.plan.kind === 'thrower' ? visit.random.int(0, 8) : Number.POSITIVE_INFINITY
		let calls = 0
		Reflect.set(res, 'write', (...args: unknown[]) => {
			if (calls++ === throwAt) {
				this.#host.note(`the wrapper of ${visit.name} throws`)
				for (const reason of ['disconnected', 'closed', 'slow', 'failed'] as const) visit.mayEnd.add(reason)
				throw new Thrown('of a wrapped write')
			}
			return Reflect.apply(write, res, args)
		})
	}

	/** Data of some size. */
	data(random: Random, size: number): string {
		if (size === 0) return ''
		const at = random.int(0, TEXT.length - size - 1)
		return TEXT.slice(at, at + size)
	}

	send(random: Random, channel: string, size: number): void {
		const { log, clock, visits } = this.#host
		const open = visits.filter((visit) => visit.isOpen)
		const except = open.length > 0 && random.chance(0.06) ? random.pick(open) : undefined
		const allowed = random.chance(0.06) ? random.int(0, 63) : -1
		const { turn } = clock
		const sent = log.add(channel, this.data(random, size), turn, except?.stream?.id, allowed)
		for (const visit of open) {
			if (!visit.book.listens(channel)) continue
			visit.book.sends(channel, turn)
			visit.wrote(size)
		}
		const options: EvSendOptions = {
			except: sent.except,
			...(allowed === -1 ? {} : { filter: this.#filter(random.fork(`filter ${sent.n}`), allowed) }),
		}
		const only = allowed === -1 ? '' : `, only ${allowed.toString(2)}`
		this.#host.note(
			`send m${sent.n} to ${channel}, ${size} bytes${except === undefined ? '' : `, except ${except.name}`}${only}`,
		)
		this.manager.send(channel, { event: `m${sent.n}`, data: sent.data }, options).then(
			(id) => {
				if (!log.accepted(sent, id)) this.#host.fault('ids', `message ${sent.n} has the id ${id}`)
			},
			(error: unknown) => {
				sent.refused = true
				if (!this.closing) this.#host.fault('errors', `send rejected: ${error}`)
			},
		)
	}

	/** A message for one stream, by `message` or by `to`. */
	direct(random: Random, visit: Visit, size: number): void {
		const { stream } = visit
		if (stream === undefined || stream.closed || visit.isVerifying) return
		const data = this.data(random, size)
		const n = this.#host.log.number(size + OVERHEAD)
		visit.wrote(size)
		visit.book.direct(n, data)
		this.#host.note(`message d${n} to ${visit.name}, ${size} bytes`)
		const message: EvMessage = { event: `d${n}`, data }
		if (random.chance(0.3)) {
			this.manager.to(stream.id, message).catch((error: unknown) => {
				visit.book.undirect(n)
				if (!this.closing) this.#host.fault('errors', `to() rejected: ${error}`)
			})
		} else this.#try('message', () => stream.message(message))
	}

	/** Listens to a channel in another tick than the first one. */
	listenLate(visit: Visit, channel: string, last: number): void {
		const { stream, book } = visit
		const { log, world, clock } = this.#host
		if (stream === undefined || stream.closed || visit.plan.kind === 'leaver' || visit.isVerifying) return
		this.#host.note(`${visit.name} listens to ${channel} late`)
		let mark: number | undefined
		if (world.history !== 'none') {
			mark = log.number(OVERHEAD)
			const message = { event: `k${mark}`, data: '' }
			visit.wrote(0)
			this.#try('message', () => stream.message(message))
		}
		visit.lateListens++
		book.listen(channel, last, mark, clock.turn)
		// The message that the filter is asked about was sent before, and comes after.
		if (this.#isFiltering) book.inLine(channel)
		this.#try('listen', () => stream.listen(channel, { last }))
	}

	unlisten(visit: Visit, channel: string): void {
		if (visit.stream === undefined) return
		this.#host.note(`${visit.name} unlistens ${channel}`)
		visit.book.unlisten(channel)
		visit.stream.unlisten(channel)
	}

	closeStream(visit: Visit): void {
		if (visit.stream === undefined) return
		this.#host.note(`the app closes ${visit.name}`)
		visit.mayEnd.add('closed')
		this.#try('close', () => visit.stream?.close())
	}

	broadcast(): void {
		if (this.#source === undefined) return
		this.version++
		this.#host.note(`broadcast version ${this.version}`)
		for (const visit of this.#host.visits) if (visit.isOpen) visit.wrote(0)
		this.#source.broadcast(this.#stateMessage())
	}

	/** Writes the items of an iterator. */
	iterate(random: Random, visit: Visit): void {
		const { stream, book } = visit
		if (stream === undefined || stream.closed || visit.isVerifying) return
		const run = ++this.#runs
		const count = random.int(0, 12)
		const size = random.pick([2, 200, 5_000, 30_000])
		const throwAt = random.chance(0.1) ? random.int(0, count) : -1
		this.#host.note(`iterator ${run} of ${count} items of ${size} bytes to ${visit.name}`)
		book.iterate(run)
		this.#host.log.number(size + OVERHEAD)
		const item = (index: number): EvMessage => {
			if (index === throwAt) throw new Thrown('of an iterator')
			if (random.chance(0.05)) this.react(random, `iterator ${run}`)
			visit.wrote(size)
			return { event: `i${run}.${index}`, data: `${size} `.padEnd(size, 'x') }
		}
		const { clock } = this.#host
		async function* later(): AsyncGenerator<EvMessage> {
			for (let index = 0; index < count; index++) {
				if (random.chance(0.5)) await clock.next()
				yield item(index)
			}
		}
		function* atOnce(): Generator<EvMessage> {
			for (let index = 0; index < count; index++) yield item(index)
		}
		stream.from(random.chance(0.5) ? later() : atOnce()).then(
			(all) => {
				if (all) book.itemsWritten(run, count)
			},
			(error: unknown) => {
				if (!(error instanceof Thrown)) this.#host.fault('errors', `from rejected: ${error}`)
			},
		)
	}

	/** A callback does something in the middle of whatever is going on. */
	react(random: Random, where: string): void {
		if (this.#reactions <= 0) return
		this.#reactions--
		const open = this.#host.visits.filter((visit) => visit.isOpen)
		const { channels } = this.#host.world
		const drawn = random.weighted({ send: 6, message: 2, listen: 2, unlisten: 2, close: 1, broadcast: 1 })
		// What a filter writes to a stream directly goes out before the message that it is asked about.
		const what = drawn === 'message' && this.#isFiltering ? 'send' : drawn
		this.#host.note(`${where} does: ${what}`)
		if (what === 'send') this.send(random, random.pick(channels), random.int(0, 200))
		else if (what === 'broadcast') this.broadcast()
		else if (open.length > 0) {
			const visit = random.pick(open)
			const channel = random.pick(channels)
			if (what === 'message') this.direct(random, visit, random.int(0, 200))
			else if (what === 'listen') this.listenLate(visit, channel, 0)
			else if (what === 'unlisten') this.unlisten(visit, channel)
			else if (what === 'close') this.closeStream(visit)
		}
	}

	#greet(visit: Visit, stream: EvManagedStream): void {
		const { plan, random, book } = visit
		const { world, clock } = this.#host
		visit.isVerifying = false
		const pieces = plan.greeting === 0 ? 0 : random.int(1, 10)
		for (let piece = 0; piece < pieces; piece++)
			this.direct(random, visit, Math.floor(plan.greeting / pieces))
		if (random.chance(0.05)) this.iterate(random, visit)
		const names = world.state === undefined ? plan.channels : [world.state, ...plan.channels]
		for (const channel of names) {
			const last = channel === world.state ? 0 : plan.last
			if (!stream.closed) book.listen(channel, last, undefined, clock.turn)
			this.#try('listen', () => stream.listen(channel, { last }))
		}
		if (plan.late !== undefined) void this.#listenLater(visit, plan.late, plan.last)
	}

	async #listenLater(visit: Visit, channel: string, last: number): Promise<void> {
		for (let turns = visit.random.int(1, 6); turns > 0; turns--) await this.#host.clock.next()
		this.listenLate(visit, channel, last)
	}

	async #verify(visit: Visit): Promise<boolean> {
		const { random, plan, clock } = visit
		visit.isVerifying = true
		clock.move()
		for (let turns = random.int(0, 6); turns > 0; turns--) await clock.next()
		if (plan.kind === 'leaver') {
			visit.cut('while it is verified')
			for (let turns = random.int(0, 20); turns > 0; turns--) await clock.next()
		}
		const letIn = plan.kind === 'leaver' ? random.chance(0.5) : random.chance(0.9)
		if (letIn) return true
		visit.mayEnd.add('unauthenticated')
		if (random.chance(0.2)) throw new Thrown('of verify')
		return false
	}

	#filter(random: Random, allowed: number): (stream: EvManagedStream) => boolean {
		const acts = random.chance(0.4)
		const throws = random.chance(0.2)
		let calls = 0
		return (stream) => {
			if (calls++ === 0 && acts) {
				this.#isFiltering = true
				this.react(random, 'a filter')
				this.#isFiltering = false
			}
			const visit = this.#byStream.get(stream.id)
			const isAllowed = visit !== undefined && (allowed & visit.plan.bit) !== 0
			if (!isAllowed && throws) throw new Thrown('of a filter')
			return isAllowed
		}
	}

	#stateMessage(): EvMessage {
		return { event: 'state', data: String(this.version) }
	}

	/** Things that are no message of one connection: nobody but the library would throw them. */
	#try(what: string, run: () => unknown): void {
		try {
			run()
		} catch (error) {
			this.#host.fault('errors', `${what} threw ${error}`)
		}
	}

	/** Its budget is less than what TLS, HTTP/2 and compressors keep on the way for some turns. */
	#isTight({ maxBuffer }: Visit): boolean {
		return maxBuffer < 16_384 && ['https', 'h2', 'h2c', 'compressed'].includes(this.#host.world.transport)
	}

	#mayBe(visit: Visit, reason: string): boolean {
		const { slow, stallTimeout } = this.#host.world
		if (reason === 'slow') return slow === 'disconnect' && (!visit.isStrict || this.#isTight(visit))
		if (reason === 'stalled') return stallTimeout < 1_000 && visit.wasPaused
		if (reason === 'shutdown') return this.closing
		return visit.plan.kind === 'head' || visit.plan.kind === 'nobody'
	}
}

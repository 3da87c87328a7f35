import { App, Thrown } from './app.js'
import { Book } from './book.js'
import { Client } from './client.js'
import { Clock } from './clock.js'
import { CHECKS, type Check, type Fault } from './faults.js'
import { type Ask, dial } from './links.js'
import type { Random } from './random.js'
import { dialForHead, dialPipelined } from './raw-link.js'
import { lateOf, SentLog, seqOf } from './sent.js'
import type { Servers } from './servers.js'
import type { Stray } from './stray.js'
import { Visit } from './visit.js'
import { readResponse } from './web-link.js'
import { describeWorld, drawWorld, type TransportName, type World } from './world.js'

/** How a seed is run. */
export interface RunOptions {
	readonly servers: Servers
	readonly stray: Stray
	/** Only these transports. */
	readonly only?: readonly TransportName[] | undefined
	/** Checks that are left out, to sort many faults. */
	readonly without?: readonly Check[] | undefined
	/** How long nothing may happen while something is owed, in ms. Default 3000. */
	readonly patience?: number | undefined
}

/** What became of a seed. */
export interface Outcome {
	readonly seed: number
	readonly faults: readonly Fault[]
	/** The world and each step. */
	readonly steps: readonly string[]
	readonly transport: TransportName
}

/** A `close()` takes its drain time and a second; this much more is the machine's. */
const SLACK = 2_500

/** What may follow a burst before it has drained. */
const ROOM = 65_536

/** Runs one seed from its first message to the end of its manager. */
export async function runSeed(seed: number, options: RunOptions): Promise<Outcome> {
	const run = new Run(drawWorld(seed, options.only), options)
	options.stray.begin((text) => run.fault('errors', text))
	await run.all()
	return { seed, faults: run.faults, steps: run.steps, transport: run.world.transport }
}

class Run {
	readonly log = new SentLog()
	readonly clock = new Clock()
	readonly visits: Visit[] = []
	readonly faults: Fault[] = []
	readonly steps: string[]
	readonly #random: Random
	readonly #app: App
	readonly #clients: readonly Client[]
	readonly #checks: ReadonlySet<Check>
	readonly #patience: number
	#at = ''

	constructor(
		readonly world: World,
		readonly options: RunOptions,
	) {
		this.#random = world.random.fork('steps')
		this.steps = [describeWorld(world)]
		this.#checks = new Set(CHECKS.filter((check) => options.without?.includes(check) !== true))
		this.#patience = options.patience ?? 3_000
		this.#app = new App(this)
		this.#clients = world.clients.map((plan) => new Client(plan, world.random))
	}

	note(text: string): void {
		this.steps.push(`${String(this.steps.length).padStart(4)} ${text}`)
	}

	fault(check: Check, text: string): void {
		if (!this.#checks.has(check)) return
		this.faults.push({ check, text })
		this.note(`FAULT ${check}: ${text}`)
	}

	async all(): Promise<void> {
		const { world, options } = this
		if (world.transport !== 'web') this.#at = await options.servers.at(world.transport)
		try {
			for (let n = 0; n < world.preload; n++) this.#send()
			for (let step = 0; step < world.steps && this.faults.length === 0; step++) {
				if (step === world.closeAt) break
				await this.#step()
			}
			if (this.faults.length === 0 && world.closeAt >= world.steps) await this.#settle()
			await this.#close()
		} finally {
			for (const visit of this.visits) {
				visit.leave()
				options.servers.handlers.delete(this.#pathOf(visit))
			}
		}
	}

	async #step(): Promise<void> {
		const random = this.#random
		const app = this.#app
		await this.#pace()
		const open = this.visits.filter((visit) => visit.isOpen)
		const what = random.weighted({
			send: 26,
			burst: 14,
			connect: 20,
			direct: open.length && 6,
			iterate: open.length && 3,
			late: open.length && 4,
			unlisten: open.length && 3,
			cut: open.length && 3,
			close: open.length && 2,
			pace: open.length && 8,
			broadcast: 4,
			wait: 6,
		})
		if (what === 'send') this.#send()
		else if (what === 'burst') for (let left = random.pick([2, 5, 20, 60]); left > 0; left--) this.#send()
		else if (what === 'connect') {
			for (const client of this.#clients) if (client.isAway && random.chance(0.7)) this.#connect(client)
		} else if (what === 'broadcast') app.broadcast()
		else if (what === 'wait') for (let turns = random.int(1, 20); turns > 0; turns--) await this.#turn()
		else {
			const visit = random.pick(open)
			const { channels } = this.world
			if (what === 'direct') app.direct(random, visit, this.#size())
			else if (what === 'iterate') app.iterate(random, visit)
			else if (what === 'late') app.listenLate(visit, random.pick(channels), 0)
			else if (what === 'unlisten') app.unlisten(visit, random.pick(channels))
			else if (what === 'cut') visit.cut('by the driver')
			else if (what === 'close') app.closeStream(visit)
			else if (visit.isPaused && visit.plan.kind !== 'pipelined') visit.resume()
			else if (visit.plan.kind === 'paused') visit.pause()
		}
		for (let turns = random.int(0, 3); turns > 0; turns--) await this.#turn()
	}

	#send(): void {
		this.#app.send(this.#random, this.#random.pick(this.world.channels), this.#size())
	}

	/** How large the next message is, as long as the seed has not sent enough. */
	#size(): number {
		const random = this.#random
		const { scale, maxBuffer, clients } = this.world
		const kind = random.weighted({ none: 8, small: 50, scale: 27, buffer: 10, large: 5 })
		const size =
			kind === 'none'
				? 0
				: kind === 'small'
					? random.int(1, 200)
					: kind === 'scale'
						? random.int(scale >> 1, scale)
						: Math.min(300_000, random.int(maxBuffer >> 1, kind === 'buffer' ? maxBuffer : 4 * maxBuffer))
		const budget = Math.max(3_000_000 / clients.length, 600_000) + (scale > 1_000_000 ? 2 * scale : 0)
		return this.log.bytes + size > budget ? Math.min(size, 100) : size
	}

	#connect(client: Client): void {
		const { world, clock } = this
		const { plan } = client
		const lastEventId = client.nextId()
		const name = `${plan.name}.${client.visits.length + 1}`
		const book = new Book({
			log: this.log,
			history: world.history !== 'none',
			ample: world.history === 'ample',
			bit: plan.bit,
			from: this.#numberOf(lastEventId),
			late: lateOf(lastEventId ?? ''),
			mayDrop: () => world.slow === 'drop' && !visit.isStrict,
			fault: (check, text) => this.fault(check, `${name} (${plan.kind}): ${text}`),
		})
		const visit: Visit = new Visit(
			plan,
			name,
			client.random.fork(name),
			book,
			clock,
			plan.maxBuffer ?? world.maxBuffer,
			lastEventId,
			(text) => this.note(text),
		)
		client.visits.push(visit)
		this.visits.push(visit)
		this.note(`${name} comes with ${lastEventId}${visit.isPaused ? ', paused' : ''}`)
		const ask: Ask = {
			path: this.#pathOf(visit),
			method: plan.kind === 'head' ? 'HEAD' : 'GET',
			lastEventId,
			paused: visit.isPaused,
		}
		if (world.transport === 'web') this.#visitWeb(visit, ask)
		else this.#visitNode(visit, ask, world.transport)
	}

	#numberOf(id: string | undefined): number | undefined {
		if (id === undefined) return undefined
		if (!/^\w{12}(-[a-z0-9._]+)?-\d{1,7}$/.test(id)) return -1
		return this.log.numberAt(seqOf(id))
	}

	#visitNode(visit: Visit, ask: Ask, transport: Exclude<TransportName, 'web'>): void {
		const { servers, stray } = this.options
		servers.handlers.set(ask.path, (req, res) => {
			const wraps = transport === 'wrapped' || visit.plan.kind === 'thrower'
			const first = visit.random.chance(0.7)
			if (wraps && first) this.#app.wrap(visit, res)
			if (visit.plan.kind === 'nobody') res.statusCode = visit.random.pick([204, 304])
			const isIn = this.#app.accept(visit, (options) => {
				const stream = this.#app.manager.createStream(req, res, options)
				stray.watch(stream, `the stream of ${visit.name}, seed ${this.world.seed}`)
				return stream
			})
			if (wraps && !first) this.#app.wrap(visit, res)
			if (isIn) return
			res.statusCode = 503
			res.end()
		})
		if (visit.plan.kind === 'pipelined') {
			const held = `${ask.path}-held`
			servers.handlers.set(held, (_req, res) => {
				res.on('close', () => servers.handlers.delete(held))
			})
			visit.link = dialPipelined(this.#at, held, ask.path, visit)
		} else if (visit.plan.kind === 'nobody' && transport !== 'h2' && transport !== 'h2c')
			visit.link = dialForHead(this.#at, transport === 'https', ask.path, visit)
		else visit.link = dial(transport, this.#at, ask, visit)
	}

	#visitWeb(visit: Visit, ask: Ask): void {
		const abort = new AbortController()
		const request = new Request(`http://localhost${ask.path}`, {
			method: ask.method,
			signal: abort.signal,
			headers: ask.lastEventId === undefined ? {} : { 'last-event-id': ask.lastEventId },
		})
		const { stray } = this.options
		stray.watch(request, `the request of ${visit.name}, seed ${this.world.seed}`)
		let answered: Promise<Response> | undefined
		this.#app.accept(visit, (options) => {
			const { manager } = this.#app
			const { authentication } = options
			const { stream, response } =
				authentication === undefined
					? manager.createResponse(request, { ...options, authentication })
					: manager.createResponse(request, { ...options, authentication })
			answered = Promise.resolve(response)
			stray.watch(stream, `the stream of ${visit.name}, seed ${this.world.seed}`)
			return stream
		})
		const how = { paused: visit.isPaused, abortsRequest: visit.random.chance(0.5) }
		visit.link = readResponse(
			answered ?? Promise.resolve(new Response(null, { status: 503 })),
			abort,
			how,
			visit,
		)
	}

	#pathOf({ name }: Visit): string {
		return `/${this.world.seed}/${name}`
	}

	/** One turn of the event loop, after which the bounds are looked at. */
	async #turn(): Promise<void> {
		await this.clock.next()
		for (const visit of this.visits) if (this.#random.chance(0.3)) visit.readOn()
		this.#checkMemory()
	}

	#checkMemory(): void {
		const { bufferedBytes, ending } = this.#app.manager.stats()
		let bound = 0
		for (const visit of this.visits) {
			// Streams that have ended count until their clients have taken the rest.
			if (!visit.isOpen && ending === 0) continue
			const { maxBuffer, largestTurn, largestSeconds } = visit
			const fresh = this.world.transport === 'compressed' ? largestSeconds : largestTurn
			bound += maxBuffer + fresh + this.log.largest + fresh / 10 + 20_000 + ROOM
		}
		if (bufferedBytes > bound)
			this.fault('memory', `${bufferedBytes} bytes wait; for the streams there are, ${bound} may`)
	}

	/** Waits for the condition, or a fault, while slow clients go on. `false`: nothing more happens. */
	#until(condition: () => boolean, stopsAtFault = true): Promise<boolean> {
		return this.clock.until(() => {
			for (const visit of this.visits) visit.readOn()
			return condition() || (stopsAtFault && this.faults.length > 0)
		}, this.#patience)
	}

	/** A paced driver sends nothing to clients that read while they are owed more than a buffer holds. */
	async #pace(): Promise<void> {
		if (!this.world.paced) return
		const late = (): Visit | undefined =>
			this.visits.find(
				({ isLive, isStrict, book, maxBuffer }) =>
					isLive && isStrict && book.owedBefore(this.clock.turn) > maxBuffer && book.owed() !== undefined,
			)
		if (late() === undefined) return
		if (!(await this.#until(() => late() === undefined))) {
			const visit = late()
			this.fault('owed', `${visit?.name} (${visit?.plan.kind}) reads and does not get ${visit?.book.owed()}`)
		}
		// What the client has got, its server learns a moment later.
		await this.#turn()
		await this.#turn()
	}

	/** Everybody reads, until everybody has what is owed. */
	async #settle(): Promise<void> {
		const { world } = this
		this.note('settle')
		if (world.stallTimeout < 1_000) await this.#stall()
		this.#resumeAll()
		const rest = (): string | undefined => {
			for (const visit of this.visits) {
				const left = this.#owes(visit)
				if (left !== undefined) return left
			}
			return undefined
		}
		if (!(await this.#until(() => rest() === undefined))) this.fault('owed', rest() ?? '')
		for (const visit of this.visits) this.#checkResets(visit)
	}

	/** Paused clients read on. Where they do not, a shutdown takes its second. */
	#resumeAll(): void {
		for (const visit of this.visits) {
			const { kind } = visit.plan
			if (visit.isFinished || kind === 'pipelined' || (this.world.leavePaused && kind === 'paused')) continue
			visit.resume()
		}
	}

	/** What is still to come for a visit, in words. */
	#owes(visit: Visit): string | undefined {
		const { kind } = visit.plan
		const who = `${visit.name} (${kind})`
		if (visit.isFinished || kind === 'pipelined') {
			if (visit.isOpen && visit.over !== undefined) return `${who} is over, and its stream does not end`
			return undefined
		}
		if (visit.stream === undefined) return visit.refused ? undefined : `${who} is not answered`
		if (visit.stream.closed) return visit.isPaused ? undefined : `${who} has ended, and its response has not`
		if (kind === 'head' || kind === 'nobody') return `${who} has no body, and its stream does not end`
		if (visit.isPaused) return undefined
		if (visit.isVerifying) return `${who} is not let in`
		const owed = visit.book.owed()
		if (owed !== undefined) return `${who} reads and does not get ${owed}`
		const { state } = this.world
		if (state !== undefined && visit.book.listens(state) && visit.book.stateSeen !== this.#app.version)
			return `${who} has seen version ${visit.book.stateSeen} of the state, not ${this.#app.version}`
		return undefined
	}

	/** With a short deadline whoever takes nothing goes, and whoever takes a little stays. */
	async #stall(): Promise<void> {
		const steady = this.#clients.find(({ plan }) => plan.kind === 'steady')
		if (steady?.isAway) this.#connect(steady)
		const isIn = (): boolean => steady?.visit?.stream !== undefined && !steady.visit.isVerifying
		if (steady !== undefined && (await this.#until(isIn))) {
			// Of one large message it takes a part at a time, for longer than the deadline.
			const [channel = 'a'] = steady.plan.channels
			this.#app.send(this.#random, channel, this.world.scale)
		}
		if (!(await this.#until(() => this.#app.manager.stats().bufferedBytes === 0)))
			this.fault(
				'memory',
				`${this.#app.manager.stats().bufferedBytes} bytes wait for clients that read nothing`,
			)
	}

	#checkResets(visit: Visit): void {
		const { history, slow } = this.world
		for (const { reason } of visit.book.resets) {
			const who = `${visit.name} (${visit.plan.kind})`
			if (reason === 'slow') {
				if (slow !== 'drop') this.fault('reset', `${who} was reset as slow, and nothing is dropped here`)
				else if (visit.isStrict && visit.maxBuffer >= 16_384)
					this.fault('slow', `${who} reads and was reset as slow`)
			} else if (history === 'none') this.fault('reset', `${who} was reset as ${reason} without history`)
			else if (visit.cameWith === 'position' && history === 'ample' && visit.lateListens === 0)
				this.fault('reset', `${who} was reset as ${reason}, and everything is kept`)
			// Of the newest messages that it asked for, some may be gone before it has them.
			else if (visit.cameWith === 'nothing' && (visit.plan.last === 0 || history === 'ample'))
				this.fault('reset', `${who} is new and was reset as ${reason}`)
		}
	}

	async #close(): Promise<void> {
		const { world, clock } = this
		const app = this.#app
		this.note(`close in ${world.drainMs} ms`)
		app.closing = true
		this.#resumeAll()
		const start = performance.now()
		let isClosed = false
		app.manager.close({ drainMs: world.drainMs }).then(
			() => {
				isClosed = true
				this.note('closed')
			},
			(error: unknown) => this.fault('left', `close() rejected: ${error}`),
		)
		const bound = world.drainMs + 1_000 + SLACK
		await this.#until(() => {
			clock.move()
			return isClosed || performance.now() - start > bound
		}, false)
		if (!isClosed) this.fault('left', `close() has not resolved after ${bound} ms`)
		// Nothing more is to come of those that read; the others leave now.
		const ending = (): Visit | undefined =>
			this.visits.find((visit) => !visit.isFinished && !visit.isPaused && visit.plan.kind !== 'pipelined')
		if (!(await this.#until(() => ending() === undefined)))
			this.fault('left', `the response of ${ending()?.name} (${ending()?.plan.kind}) is not over`)
		for (const visit of this.visits) visit.leave()
		if (!(await this.#until(() => this.#leftover() === undefined))) this.fault('left', this.#leftover() ?? '')
		this.#checkErrors()
	}

	/** What is left of the seed, in words. */
	#leftover(): string | undefined {
		const { connections, listeners, channels, bufferedBytes } = this.#app.manager.stats()
		if (connections + listeners + channels + bufferedBytes > 0)
			return `after close() ${JSON.stringify({ connections, listeners, channels, bufferedBytes })}`
		for (const { stream, name, ends, aborts, plan } of this.visits) {
			if (stream === undefined) continue
			const who = `${name} (${plan.kind})`
			if (!stream.closed) return `the stream of ${who} is not closed`
			if (ends.length !== 1) return `onClose of ${who} was called ${ends.length} times: ${ends}`
			if (aborts !== 1 || !stream.signal.aborted) return `the signal of ${who} was aborted ${aborts} times`
		}
		return undefined
	}

	#checkErrors(): void {
		for (const error of this.#app.errors) {
			if (error instanceof Thrown) continue
			if (error instanceof Error && 'code' in error && error.code === 'EV_CLOSED') continue
			this.fault('errors', `onError was told ${error instanceof Error ? error.stack : String(error)}`)
		}
	}
}

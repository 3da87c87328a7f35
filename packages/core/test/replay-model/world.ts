import { EvStreamManager } from '../../src/index.js'
import { Random } from '../oracle/random.js'
import { FakeAdapter, type Gate } from '../support/streams-log.js'
import { Account, BrokenPromise, type Flags, Journal } from './promises.js'
import { Visit } from './visit.js'

const CHANNELS = ['a', 'b', 'c'] as const
/** How long `close()` may take, in turns of the event loop. */
const MOST_TURNS = 1_000

/** One client, over all its visits. */
interface Client {
	readonly name: string
	readonly account: Account
	visit: Visit | undefined
	visits: number
}

/** How often a step is taken, beside the others. */
const WEIGHTS = {
	publish: 3,
	publishMany: 2,
	connect: 3,
	listen: 2,
	unlisten: 1,
	cut: 1,
	hold: 3,
	step: 2,
	open: 1,
	disturb: 2,
	pause: 1,
	settle: 0.5,
} as const

/** Where answers of the log wait, and how often one of them is held. */
const GATES = { subscriptions: 2, appends: 1, reads: 2, answers: 2, deliveries: 3 } as const
const GATE_NAMES = ['subscriptions', 'appends', 'reads', 'answers', 'deliveries'] as const

/**
 * A few clients of one instance whose log answers late, in random order: a seeded, model-based test of what a replay
 * promises. Every client comes back in the end and listens to all it is owed.
 */
class World {
	readonly #random: Random
	readonly #adapter = new FakeAdapter()
	readonly #manager: EvStreamManager
	readonly #journal: Journal
	readonly #clients: readonly Client[]
	/** Reasons for which a client may be reset. */
	readonly #reasons: ReadonlySet<string>
	#published = 0

	constructor(
		seed: number,
		readonly flags: Flags,
	) {
		this.#random = new Random(seed)
		this.#journal = new Journal(this.#adapter.stored)
		this.#manager = new EvStreamManager({
			adapter: this.#adapter,
			history: { size: flags.scarce ? 3 : 100_000 },
			...(flags.small ? { maxBuffer: 2_000 } : {}),
			onError: (error) => this.#journal.breakWith(`onError was called with ${error}`),
		})
		this.#reasons = new Set([
			...(flags.restart ? ['epoch', 'future'] : []),
			...(flags.gap ? ['gap'] : []),
			...(flags.scarce ? ['trimmed'] : []),
		])
		this.#clients = ['one', 'two', 'three'].map((name) => ({
			name,
			account: new Account(this.#journal, name),
			visit: undefined,
			visits: 0,
		}))
	}

	/** @returns what was broken, with all steps; `undefined` if nothing was. */
	async run(): Promise<string | undefined> {
		try {
			for (let left = this.#random.int(60, 180); left > 0; left--) {
				await this.#step()
				for (let turns = this.#random.int(0, 2); turns > 0; turns--) await this.#turn()
				for (const { account } of this.#clients) account.settle()
				if (this.#journal.broken !== undefined) break
			}
			if (this.#journal.broken === undefined) await this.#finish()
		} catch (error) {
			if (!(error instanceof BrokenPromise)) throw error
		}
		await this.#close()
		return this.#journal.broken === undefined ? undefined : this.#journal.steps.join('\n')
	}

	async #step(): Promise<void> {
		const client = this.#random.pick(this.#clients)
		switch (this.#random.weighted(WEIGHTS)) {
			case 'publish':
				return this.#publish()
			case 'publishMany':
				for (let more = this.#random.int(1, 6); more > 0; more--) this.#publish()
				return
			case 'connect':
				return this.#connect(client)
			case 'listen':
				return this.#listenLater(client)
			case 'unlisten':
				return this.#unlisten(client)
			case 'cut':
				if (client.visit?.isOpen === true) this.#cut(client)
				return
			case 'hold':
				return this.#onGate('hold', (gate) => gate.hold())
			case 'step':
				return this.#onGate('step', (gate) => gate.step(this.#random.int(1, 3)))
			case 'open':
				return this.#onGate('open', (gate) => gate.open())
			case 'disturb':
				return this.#disturb()
			case 'pause':
				return this.#pauseOrResume(client)
			case 'settle':
				await this.#quiet()
				for (const { account, visit } of this.#clients)
					if (visit?.isOpen === true) account.establish(visit.listening)
		}
	}

	/** Sends a message, as this instance or as another one. */
	#publish(): void {
		const channel = this.#random.pick(CHANNELS)
		const isOwn = this.#random.chance(0.33)
		const length = this.#random.chance(0.1) ? 20_000 : this.#random.int(0, 200)
		const data = `m${this.#published++} ${'x'.repeat(length)}`
		this.#journal.note(`${isOwn ? 'this' : 'another'} instance sends m${this.#published - 1} to ${channel}`)
		if (isOwn) Promise.resolve(this.#manager.send(channel, { data })).catch(() => {})
		else this.#adapter.append(channel, `data:${data}\n\n`)
	}

	#connect(client: Client): void {
		if (client.visit?.isOpen === true) return
		const isNew = client.visit?.lastEventId === undefined || this.#random.chance(0.17)
		if (isNew) client.account.clear()
		else this.#forgiveUnknown(client)
		const visit = this.#open(client, isNew ? undefined : client.visit?.lastEventId)
		for (const channel of CHANNELS)
			if (this.#random.chance(0.67)) visit.listen(channel, this.#last(), undefined)
	}

	#open(client: Client, lastEventId: string | undefined): Visit {
		const headers: Record<string, string> = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
		const request = new Request('http://localhost/', { headers })
		const { stream, response } = this.#manager.createResponse(request)
		const name = `${client.name}.${++client.visits}`
		this.#journal.note(`${name} comes with ${lastEventId}`)
		const visit = new Visit(name, stream, response, lastEventId, client.account, this.#journal, this.#reasons)
		client.visit = visit
		return visit
	}

	/** Listens to a channel in a later tick than the first. */
	#listenLater({ visit }: Client): void {
		const channel = this.#random.pick(CHANNELS)
		if (visit?.isOpen !== true || visit.listening.has(channel)) return
		visit.listen(channel, this.#last(), this.#adapter.store.position)
	}

	#last(): number {
		return this.flags.last && this.#random.chance(0.33) ? this.#random.int(1, 5) : 0
	}

	#unlisten({ visit }: Client): void {
		const channel = this.#random.pick(CHANNELS)
		// A newcomer that leaves a channel and asks for its newest messages again gets them again.
		if (!this.flags.unlisten || visit?.isOpen !== true || !visit.listening.has(channel)) return
		visit.unlisten(channel)
	}

	#cut(client: Client): void {
		this.#forgiveUnknown(client)
		client.visit?.cut()
	}

	/** What is sent on a channel is not owed any more if nothing could tell the client, or the server, of it. */
	#forgiveUnknown({ account, visit }: Client): void {
		for (const channel of CHANNELS) if (visit?.knowsNothingOf(channel) === true) account.forgive(channel)
	}

	#onGate(what: string, act: (gate: Gate) => void): void {
		const name = this.#random.weighted(GATES)
		this.#journal.note(`${what} ${name}`)
		act(this.#adapter[name])
	}

	/** A restart or a gap, if there are such. */
	#disturb(): void {
		const channel = this.#random.pick(CHANNELS)
		if (this.flags.restart && this.#random.chance(0.2)) {
			this.#journal.note('the store loses everything')
			this.#adapter.restart()
		} else if (this.flags.gap && this.#random.chance(0.4)) {
			this.#journal.note(`a gap on ${channel}`)
			this.#adapter.gap(channel)
		}
	}

	#pauseOrResume({ visit }: Client): void {
		if (visit?.isOpen !== true) return
		if (visit.isPaused) visit.resume()
		else visit.pause()
	}

	async #turn(): Promise<void> {
		await (this.#random.chance(0.5) ? new Promise(setImmediate) : Promise.resolve())
	}

	/** The log answers everything, and the clients read everything. */
	async #quiet(): Promise<void> {
		this.#journal.note('everything comes to rest')
		for (const { visit } of this.#clients) visit?.resume()
		let rest = 0
		for (let turns = 0; rest < 5 && turns < MOST_TURNS; turns++) {
			const before = this.#journal.steps.length + this.#adapter.readCount
			for (const name of GATE_NAMES) this.#adapter[name].open()
			await new Promise(setImmediate)
			rest = this.#journal.steps.length + this.#adapter.readCount === before ? rest + 1 : 0
		}
		for (const { account } of this.#clients) account.settle()
	}

	/** Everybody comes back with the id it has, listens to all that it is owed, and gets it. */
	async #finish(): Promise<void> {
		for (let again = 0; again < 3; again++) {
			await this.#quiet()
			for (const client of this.#clients) this.#comeBack(client)
			await this.#quiet()
		}
		if (this.#journal.broken !== undefined) return
		for (const { account } of this.#clients) account.expectNothingOwed()
	}

	#comeBack(client: Client): void {
		const { account, visit } = client
		if (account.established.size === 0) return
		if (visit?.isOpen !== true) {
			this.#forgiveUnknown(client)
			const next = this.#open(client, visit?.lastEventId)
			for (const channel of account.established) next.listen(channel, 0, undefined)
			return
		}
		for (const channel of account.established) {
			if (visit.listening.has(channel)) continue
			// A newcomer that left a channel begins there anew.
			if (visit.cameWith === undefined) account.forgive(channel)
			else visit.listen(channel, 0, this.#adapter.store.position)
		}
	}

	async #close(): Promise<void> {
		for (const name of GATE_NAMES) this.#adapter[name].open()
		for (const { visit } of this.#clients) if (visit?.isOpen === true) visit.cut()
		let isClosed = false
		const closing = this.#manager.close().then(() => {
			isClosed = true
		})
		for (let turns = 0; !isClosed && turns < MOST_TURNS; turns++) await new Promise(setImmediate)
		if (!isClosed) this.#journal.breakWith('close() does not resolve')
		else await closing
	}
}

/** Runs one seed. @returns what was broken, with all steps; `undefined` if nothing was. */
export function runWorld(seed: number, flags: Flags): Promise<string | undefined> {
	return new World(seed, flags).run()
}

import { type ChildProcess, fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis, startTcpProxy, type TcpProxy, type TestRedis, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import type { InstanceNews, InstanceOrder, InstanceSettings } from '../workers/stream-instance.js'
import { type Balancer, startBalancer } from './balancer.js'
import { Random } from './random.js'
import { EventSourceClient, LightClient, RETRY, type StreamClient } from './stream-client.js'
import { Transcript, type Verdict } from './transcript.js'

/** How large a fleet is, and what happens to it. */
export interface FleetOptions {
	readonly seed: number
	readonly clients: number
	/** How many of the clients are npm `EventSource`s. */
	readonly eventSources: number
	readonly channels: number
	readonly instances: number
	/** How many of the instances publish. */
	readonly publishers: number
	/** Messages per second over all channels and publishers. */
	readonly rate: number
	/** Publishers send what is due every so many ms. */
	readonly tick: number
	readonly seconds: number
	/** Instances that are killed with SIGKILL and started again. */
	readonly kills: number
	/** Times that all Redis connections of an instance are cut. */
	readonly cuts: number
	/** Times that all subscriber connections are killed. */
	readonly subscriberKills: number
	/** Times that Redis forgets all scripts. */
	readonly flushes?: number
	/** Times that nothing passes between an instance and Redis for a while; then all of it does. */
	readonly stalls?: number
	/** Times that everything between an instance and Redis is late for a while. */
	readonly delays?: number
	/** Times that the connections of an instance only look alive from then on. */
	readonly freezes?: number
	/** Times that Redis is killed with SIGKILL and started again with its data. */
	readonly restarts?: number
	/** Messages kept of each channel. */
	readonly history: number
	/** Told what happens. */
	readonly log?: (text: string) => void
}

/** What came of it. */
export interface FleetReport extends Verdict {
	/** Messages that a publisher knows to be accepted. */
	readonly accepted: number
	/** Messages that were refused: they may have arrived, once. */
	readonly refused: Readonly<Record<string, number>>
	readonly epochs: number
	readonly reconnects: number
	/** How long after the last message everybody had everything, in ms. */
	readonly settledMs: number
	/** Counters of the instances that were there at the end, added up. */
	readonly counters: Readonly<Record<string, number>>
}

const STARTING = 30_000
const SETTLING = 60_000

/** An instance in a process of its own, which can be killed and started again. */
class Instance {
	readonly proxy: TcpProxy
	/** Why messages were refused, and how many. */
	readonly refused = new Map<string, number>()
	counters: Readonly<Record<string, number>> | undefined
	ended: readonly (string | undefined)[] | undefined
	port: number | undefined
	readonly #name: string
	readonly #settings: Omit<InstanceSettings, 'publisher'>
	readonly #transcript: Transcript
	#child: ChildProcess | undefined
	#incarnation = 0

	constructor(
		name: string,
		proxy: TcpProxy,
		settings: Omit<InstanceSettings, 'publisher'>,
		transcript: Transcript,
	) {
		this.#name = name
		this.proxy = proxy
		this.#settings = settings
		this.#transcript = transcript
	}

	start(): void {
		const publisher = `${this.#name}.${++this.#incarnation}`
		const settings: InstanceSettings = { ...this.#settings, publisher }
		const child = fork(
			new URL('../workers/stream-instance.ts', import.meta.url),
			[JSON.stringify(settings)],
			{
				execArgv: ['--conditions=@evstream/source', '--import', 'tsx'],
			},
		)
		this.#child = child
		child.on('error', () => {})
		child.on('message', (news: InstanceNews) => {
			for (const [channel, number, id] of news.accepted ?? []) {
				this.#transcript.accept(channel, `${publisher} ${number}`, id)
			}
			for (const why of news.refused ?? []) this.refused.set(why, (this.refused.get(why) ?? 0) + 1)
			this.port = news.port ?? this.port
			this.counters = news.stopped ?? this.counters
			this.ended = news.ended ?? this.ended
		})
	}

	async isUp(): Promise<void> {
		await until(() => this.port !== undefined, { timeout: STARTING, what: `instance ${this.#name}` })
	}

	tell(order: InstanceOrder): void {
		this.#child?.send(order)
	}

	async kill(): Promise<void> {
		const child = this.#child
		this.#child = undefined
		this.port = undefined
		if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
		const exited = once(child, 'exit')
		child.kill('SIGKILL')
		await exited
	}
}

/**
 * Lets clients listen to all channels behind a balancer over instances, publishes, and breaks what the options say,
 * spread over the time in an order that the seed gives. Resolves when every client has everything.
 */
export async function runFleet(options: FleetOptions): Promise<FleetReport> {
	const closers: (() => unknown)[] = []
	const opened = <T>(thing: T, close: (thing: T) => unknown): T => {
		closers.push(() => close(thing))
		return thing
	}
	try {
		return await runOpened(options, opened)
	} finally {
		for (const close of closers.reverse()) await close()
	}
}

async function runOpened(
	options: FleetOptions,
	opened: <T>(thing: T, close: (thing: T) => unknown) => T,
): Promise<FleetReport> {
	const { seed, log = () => {} } = options
	const random = new Random(seed)
	const names = Array.from({ length: options.channels }, (_, index) => `c${index}`)
	const transcript = new Transcript(names)
	// What was published must be on the disk, or a restart would be a loss.
	const durable = options.restarts ? { args: ['--appendonly', 'yes', '--appendfsync', 'always'] } : {}
	const redis = opened(await startRedis(durable), (server) => server.stop())
	const direct = opened(new Redis(redis.url, { maxRetriesPerRequest: null }), (client) => client.disconnect())
	direct.on('error', () => {})
	const namespace = randomUUID()
	const instances: Instance[] = []
	for (let index = 0; index < options.instances; index++) {
		const proxy = opened(await startTcpProxy(redis), (one) => one.close())
		const settings = {
			url: proxy.url(),
			namespace,
			channels: names,
			history: options.history,
			rate: index < options.publishers ? options.rate / options.publishers : 0,
			tick: options.tick,
			retry: RETRY,
		}
		const instance = opened(new Instance(`i${index}`, proxy, settings, transcript), (one) => one.kill())
		instance.start()
		instances.push(instance)
	}
	await Promise.all(instances.map((instance) => instance.isUp()))
	const balancer: Balancer = opened(
		await startBalancer(() => instances.flatMap(({ port }) => (port === undefined ? [] : [port]))),
		(one) => one.close(),
	)
	const clients = Array.from({ length: options.clients }, (_, index): StreamClient => {
		const client = transcript.client(`client ${index}`)
		return index < options.eventSources
			? new EventSourceClient(balancer.port, client, names)
			: new LightClient(balancer.port, client, random)
	})
	opened(clients, (all) => {
		for (const client of all) client.close()
	})
	await until(() => transcript.clients.every(({ position }) => position !== undefined), {
		timeout: STARTING,
		what: 'every client to listen',
	})

	log(`${options.clients} clients listen`)
	for (const instance of instances) instance.tell('publish')
	await breakThings(options, random, instances, redis, direct, log)
	for (const instance of instances) await instance.isUp()
	for (const instance of instances) instance.tell('stop')
	await until(() => instances.every(({ counters }) => counters !== undefined), {
		timeout: STARTING,
		what: 'everything to be accepted or refused',
	})

	const stopped = performance.now()
	const [first] = instances
	first?.tell('end')
	const ended = await until(() => first?.ended, { timeout: STARTING, what: 'the last messages' })
	const last = Math.max(...ended.map((id) => Number(id?.slice(id.lastIndexOf('-') + 1))))
	log(`${last} messages are in the log`)
	// Who misses something is found by the verdict, which says more than a wait in vain.
	await until(() => transcript.clients.every(({ position = 0 }) => position >= last), {
		timeout: SETTLING,
		what: 'every client to be at the end',
	}).catch((error: unknown) => log(String(error)))
	const settledMs = performance.now() - stopped

	const refused: Record<string, number> = {}
	for (const instance of instances) {
		for (const [why, count] of instance.refused) refused[why] = (refused[why] ?? 0) + count
	}
	const counters: Record<string, number> = {}
	for (const instance of instances) {
		for (const [name, count] of Object.entries(instance.counters ?? {})) {
			counters[name] = (counters[name] ?? 0) + count
		}
	}
	return {
		...transcript.verdict(),
		accepted: transcript.accepted,
		refused,
		epochs: transcript.epochs.size,
		reconnects: clients.reduce((sum, { reconnects }) => sum + reconnects, 0),
		settledMs,
		counters,
	}
}

/** Takes as long as the options say. */
async function breakThings(
	{
		kills,
		cuts,
		subscriberKills,
		flushes = 0,
		stalls = 0,
		delays = 0,
		freezes = 0,
		restarts = 0,
		seconds,
	}: FleetOptions,
	random: Random,
	instances: readonly Instance[],
	redis: TestRedis,
	direct: Redis,
	log: (text: string) => void,
): Promise<void> {
	const any = (): Instance => {
		const instance = instances[random.below(instances.length)]
		if (instance === undefined) throw new Error('There is no instance')
		return instance
	}
	const kill = async (): Promise<void> => {
		const instance = any()
		log(`kill -9 of instance ${instances.indexOf(instance)}`)
		await instance.kill()
		instance.start()
		await instance.isUp()
		instance.tell('publish')
		log(`instance ${instances.indexOf(instance)} is back`)
	}
	const cut = (): void => {
		const instance = any()
		log(`cut of instance ${instances.indexOf(instance)}`)
		instance.proxy.cut()
	}
	const killSubscribers = async (): Promise<void> => {
		log('all subscribers are killed')
		await direct.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
	}
	const flush = async (): Promise<void> => {
		log('all scripts are forgotten')
		await direct.call('SCRIPT', 'FLUSH')
	}
	const stall = async (): Promise<void> => {
		const instance = any()
		log(`nothing passes at instance ${instances.indexOf(instance)} for 1.5 s`)
		instance.proxy.blackhole(true)
		await sleep(1500)
		instance.proxy.blackhole(false)
	}
	const delay = async (): Promise<void> => {
		const instance = any()
		log(`everything is 150 ms late at instance ${instances.indexOf(instance)} for 2 s`)
		instance.proxy.delay(150)
		await sleep(2000)
		instance.proxy.delay(0)
	}
	const freeze = (): void => {
		const instance = any()
		log(`the connections of instance ${instances.indexOf(instance)} only look alive`)
		instance.proxy.freeze()
	}
	const restart = async (): Promise<void> => {
		log('kill -9 of Redis')
		await redis.kill()
		await redis.restart({ keepData: true })
		log('Redis is back')
	}
	const faults = random.shuffled([
		...Array.from({ length: flushes }, () => flush),
		...Array.from({ length: stalls }, () => stall),
		...Array.from({ length: delays }, () => delay),
		...Array.from({ length: freezes }, () => freeze),
		...Array.from({ length: restarts }, () => restart),
		...Array.from({ length: kills }, () => kill),
		...Array.from({ length: cuts }, () => cut),
		...Array.from({ length: subscriberKills }, () => killSubscribers),
	])
	const begin = performance.now()
	const at = (share: number): Promise<void> =>
		sleep(Math.max(0, begin + share * seconds * 1000 - performance.now()))
	const running: (Promise<void> | void)[] = []
	for (const [index, fault] of faults.entries()) {
		await at((index + 1) / (faults.length + 1))
		// An instance that comes back must not hold up the others.
		running.push(fault())
	}
	await at(1)
	await Promise.all(running)
}

import { randomUUID } from 'node:crypto'
import { startRedis, startTcpProxy, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { type Balancer, startBalancer } from './balancer.js'
import { breakThings, type FaultCounts } from './fleet-faults.js'
import { FleetInstance, STARTING } from './fleet-instance.js'
import { publishBeside } from './neighbour.js'
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
	readonly faults: FaultCounts
	/** Another fleet publishes on the same channels and namespace, in another database of the server. */
	readonly neighbour?: boolean
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

const SETTLING = 60_000

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
	const durable = options.faults.restarts ? { args: ['--appendonly', 'yes', '--appendfsync', 'always'] } : {}
	const redis = opened(await startRedis(durable), (server) => server.stop())
	const direct = opened(new Redis(redis.url, { maxRetriesPerRequest: null }), (client) => client.disconnect())
	direct.on('error', () => {})
	const namespace = randomUUID()
	const instances: FleetInstance[] = []
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
		const instance = opened(new FleetInstance(`i${index}`, proxy, settings, transcript), (one) => one.kill())
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
	if (options.neighbour) {
		opened(publishBeside(redis, namespace, names), (one) => one.close())
	}
	const learn = async (): Promise<void> => {
		const [epoch, cuts] = await direct.hmget(`{${namespace}}:log`, 'epoch', 'cuts')
		if (epoch) transcript.chain.learn(epoch, cuts ?? '')
	}
	// The log remembers some epochs only.
	const watch = opened(
		setInterval(() => void learn().catch(() => {}), 500),
		clearInterval,
	)
	watch.unref()
	for (const instance of instances) instance.tell('publish')
	const any = (): FleetInstance => {
		const instance = instances[random.below(instances.length)]
		if (instance === undefined) throw new Error('There is no instance')
		return instance
	}
	const scene = { redis, direct, namespace, instances, log, any }
	await breakThings(scene, options.faults, random, options.seconds)
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

	await learn()
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
		epochs: transcript.epochs,
		reconnects: clients.reduce((sum, { reconnects }) => sum + reconnects, 0),
		settledMs,
		counters,
	}
}

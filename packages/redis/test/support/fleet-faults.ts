import { setTimeout as sleep } from 'node:timers/promises'
import type { TestRedis } from '@evstream/testkit'
import type { Redis } from 'ioredis'
import type { FleetInstance } from './fleet-instance.js'
import { copyKeys, restoreKeys } from './older-copy.js'
import type { Random } from './random.js'

/** What a fault may touch. */
export interface Scene {
	readonly redis: TestRedis
	/** A connection of its own, which no fault breaks. */
	readonly direct: Redis
	readonly namespace: string
	readonly instances: readonly FleetInstance[]
	readonly log: (text: string) => void
	/** Any instance, as the seed says. */
	any(): FleetInstance
}

const DAY = 86_400_000

type FaultName =
	| 'kills'
	| 'cuts'
	| 'subscriberKills'
	| 'flushes'
	| 'stalls'
	| 'delays'
	| 'freezes'
	| 'restarts'
	| 'outages'
	| 'slowLinks'
	| 'pauses'
	| 'fulls'
	| 'forbids'
	| 'days'
	| 'rollbacks'

/** Everything that can happen to a fleet, by its option's name. Each resolves when it is over. */
export const FAULTS: Readonly<Record<FaultName, (scene: Scene) => Promise<void> | void>> = {
	/** An instance is killed with SIGKILL and started again. */
	kills: async ({ any, log }: Scene) => {
		const instance = any()
		log(`kill -9 of ${instance.name}`)
		await instance.kill()
		instance.start()
		await instance.isUp()
		instance.tell('publish')
		log(`${instance.name} is back`)
	},
	/** All Redis connections of an instance are cut. */
	cuts: ({ any, log }: Scene) => {
		const { name, proxy } = any()
		log(`cut of ${name}`)
		proxy.cut()
	},
	/** All subscriber connections are killed. */
	subscriberKills: async ({ direct, log }: Scene) => {
		log('all subscribers are killed')
		await direct.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
	},
	/** Redis forgets all scripts. */
	flushes: async ({ direct, log }: Scene) => {
		log('all scripts are forgotten')
		await direct.call('SCRIPT', 'FLUSH')
	},
	/** Nothing passes between an instance and Redis for a while; then all of it does. */
	stalls: async ({ any, log }: Scene) => {
		const { name, proxy } = any()
		log(`nothing passes at ${name} for 1.5 s`)
		proxy.blackhole(true)
		await sleep(1500)
		proxy.blackhole(false)
	},
	/** Everything between an instance and Redis is late for a while. */
	delays: async ({ any, log }: Scene) => {
		const { name, proxy } = any()
		log(`everything is 150 ms late at ${name} for 2 s`)
		proxy.delay(150)
		await sleep(2000)
		proxy.delay(0)
	},
	/** The connections of an instance only look alive from then on. */
	freezes: ({ any, log }: Scene) => {
		const { name, proxy } = any()
		log(`the connections of ${name} only look alive`)
		proxy.freeze()
	},
	/** Redis is killed with SIGKILL and started again with its data. */
	restarts: async ({ redis, log }: Scene) => {
		log('kill -9 of Redis')
		await redis.kill()
		await redis.restart({ keepData: true })
		log('Redis is back')
	},
	/** All instances are cut off together for a while. */
	outages: async ({ instances, log }: Scene) => {
		log('all are cut off for 2 s')
		for (const { proxy } of instances) {
			proxy.refuse(true)
			proxy.cut()
		}
		await sleep(2000)
		for (const { proxy } of instances) proxy.refuse(false)
	},
	/** The link of an instance passes little for a while. */
	slowLinks: async ({ any, log }: Scene) => {
		const { name, proxy } = any()
		log(`20 KB a second pass at ${name} for 3 s`)
		proxy.limit(20_000)
		await sleep(3000)
		proxy.limit(0)
	},
	/** The process of an instance stands still for longer than the deadline of a command. */
	pauses: async ({ any, log }: Scene) => {
		const instance = any()
		log(`${instance.name} stands still for 6 s`)
		instance.pause()
		await sleep(6000)
		instance.resume()
	},
	/** Redis is full for a while. */
	fulls: async ({ direct, log }: Scene) => {
		log('Redis is full for 1.5 s')
		await direct.config('SET', 'maxmemory', '1')
		await sleep(1500)
		await direct.config('SET', 'maxmemory', '0')
	},
	/** The right to ask Redis who it is gets lost for a while. */
	forbids: async ({ direct, log }: Scene) => {
		log('INFO is forbidden for 1 s')
		await direct.call('ACL', 'SETUSER', 'default', '-info')
		await sleep(1000)
		await direct.call('ACL', 'SETUSER', 'default', '+info')
	},
	/** A day passes by the clock of the log. */
	days: async ({ direct, namespace, log }: Scene) => {
		log('a day passes')
		await direct.hincrby(`{${namespace}}:log`, 'marked', -DAY)
	},
	/** All keys become again what they were a second ago, in the running server. */
	rollbacks: async ({ direct, namespace, log }: Scene) => {
		const copy = await copyKeys(direct, `{${namespace}}:*`)
		await sleep(1000)
		await restoreKeys(direct, `{${namespace}}:*`, copy)
		log('Redis holds again what it held a second ago')
	},
}

/** How often each fault happens. */
export type FaultCounts = Readonly<Partial<Record<FaultName, number>>>

/** Lets the faults happen in an order that the seed gives, spread over the time. Takes as long as `seconds` says. */
export async function breakThings(
	scene: Scene,
	counts: FaultCounts,
	random: Random,
	seconds: number,
): Promise<void> {
	const faults = random.shuffled(
		Object.entries(FAULTS).flatMap(([name, fault]) => {
			const times = Object.entries(counts).find(([counted]) => counted === name)?.[1] ?? 0
			return Array.from({ length: times }, () => fault)
		}),
	)
	const begin = performance.now()
	const at = (share: number): Promise<void> =>
		sleep(Math.max(0, begin + share * seconds * 1000 - performance.now()))
	const running: (Promise<void> | void)[] = []
	for (const [index, fault] of faults.entries()) {
		await at((index + 1) / (faults.length + 1))
		// An instance that comes back must not hold up the others.
		running.push(fault(scene))
	}
	await at(1)
	await Promise.all(running)
}

import { randomUUID } from 'node:crypto'
import type { TestRedis } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { onTestFinished } from 'vitest'
import { EvRedisAdapter } from '../../src/index.js'
import { RedisNames } from '../../src/keys.js'
import type { ReadBudget } from '../../src/log-reads.js'
import { type LogRead, parseRead, type ReadRequest } from '../../src/read-reply.js'
import { READ } from '../../src/read-script.js'
import { defineScripts, runScript } from '../../src/script.js'

/** A message of a log. */
export interface Sent {
	readonly channel: string
	readonly seq: number
	readonly payload: string
}

export interface ReadsSetup {
	readonly client: Redis
	readonly names: RedisNames
	/** Sends messages in this order. */
	send(messages: readonly (readonly [channel: string, payload: string])[]): Promise<Sent[]>
	/** As if the messages of a channel had been sent so many ms earlier. */
	age(channel: string, ms: number): Promise<void>
	/** Reads by the script alone. */
	read(request: ReadRequest, budget: ReadBudget): Promise<LogRead>
}

/** A log that tests write through an adapter and read by the script. */
export function setUpReads(redis: TestRedis): ReadsSetup {
	const namespace = randomUUID()
	const names = new RedisNames(namespace, '')
	const client = new Redis(redis.url)
	const adapter = new EvRedisAdapter(redis.url, { namespace })
	const receiver = { deliver() {}, reset() {}, direct() {}, error() {} }
	const log = adapter.openLog(receiver, {
		instance: 'i-',
		resumable: true,
		retention: () => ({ size: 1_000_000, ttl: 86_400_000 }),
	})
	onTestFinished(async () => {
		await log.close()
		await adapter.close()
		client.disconnect()
	})
	defineScripts(client, [READ])
	return {
		client,
		names,
		async send(messages) {
			const sends = messages.map(async ([channel, payload]): Promise<Sent> => {
				const { seq } = await log.append(channel, payload)
				return { channel, seq, payload }
			})
			return Promise.all(sends)
		},
		async age(channel, ms) {
			const key = names.channel(channel)
			const entries = await client.xrange(key, '-', '+')
			await client.del(key)
			for (const [id, fields] of entries) {
				const [seq = '', time = ''] = id.split('-')
				await client.xadd(key, `${seq}-${Number(time) - ms}`, ...fields)
			}
		},
		async read({ channels, bound }, { entries, bytes }) {
			const from = channels.map(({ from, ttl = 0 }) => {
				const where = typeof from === 'number' ? from : `last:${from.last}:${from.below ?? ''}`
				return `${where} ${ttl} `
			})
			const reply = await runScript(
				client,
				READ,
				[names.log, names.channels, ...channels.map(({ name }) => names.channel(name))],
				['', 0, '0', entries, bytes, bound ?? '', names.channel('').length, from.join('')],
			)
			const read = parseRead(
				reply,
				channels.map(({ name }) => name),
			)
			if (read === undefined) throw new Error('There is no log.')
			return read
		},
	}
}

import { randomUUID } from 'node:crypto'
import { type EvManagerOptions, EvStreamManager } from '@evstream/core'
import {
	listenHttp,
	openSse,
	type SseClient,
	startRedis,
	startTcpProxy,
	type TcpProxy,
	type TestRedis,
} from '@evstream/testkit'
import { Redis, type RedisOptions } from 'ioredis'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { EvRedisAdapter } from '../../src/index.js'

/** One Redis for the tests of a file. */
export function useRedis(): () => TestRedis {
	let redis: TestRedis | undefined
	beforeAll(async () => {
		redis = await startRedis()
	})
	afterAll(() => redis?.stop())
	return () => {
		if (redis === undefined) throw new Error('Only inside tests')
		return redis
	}
}

/** A server with a manager on Redis, behind a proxy of its own. */
export interface Instance {
	readonly manager: EvStreamManager
	readonly adapter: EvRedisAdapter
	readonly proxy: TcpProxy
	readonly errors: unknown[]
	/** Listens to the channels, coming back with a position if there is one. */
	listen(channels: readonly string[], lastEventId?: string): Promise<SseClient>
}

export interface InstanceOptions extends EvManagerOptions {
	namespace?: string
	/** Options of the connection, or a client. */
	redis?: Omit<RedisOptions, 'replyMapping'> | Redis
	deadline?: number
}

/** Starts a server; it ends with the test. */
export async function startInstance(redis: TestRedis, options: InstanceOptions = {}): Promise<Instance> {
	const { namespace = randomUUID(), redis: redisOptions, deadline = 5_000, ...managerOptions } = options
	const errors: unknown[] = []
	const onError = (error: unknown): void => void errors.push(error)
	const proxy = await startTcpProxy({ host: redis.host, port: redis.port })
	const adapter = new EvRedisAdapter(
		redisOptions instanceof Redis ? redisOptions : { host: '127.0.0.1', port: proxy.port, ...redisOptions },
		{ namespace, deadline, onError, probe: { interval: 100, timeout: 400 } },
	)
	const manager = new EvStreamManager({
		history: { size: 1_000 },
		...managerOptions,
		adapter,
		onError,
	})
	const server = await listenHttp((req, res) => {
		const stream = manager.createStream(req, res)
		const names = new URL(req.url ?? '/', 'http://localhost').searchParams.getAll('channel')
		for (const name of names) stream.listen(name)
	})
	onTestFinished(async () => {
		await manager.close()
		await adapter.close()
		await server.close()
		await proxy.close()
	})
	return {
		manager,
		adapter,
		proxy,
		errors,
		async listen(channels, lastEventId) {
			const url = new URL(server.url)
			for (const channel of channels) url.searchParams.append('channel', channel)
			const client = await openSse(url.href, {
				headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId },
			})
			onTestFinished(() => client.close())
			if (lastEventId === undefined) await client.next('position')
			return client
		},
	}
}

/** A client to look into Redis with. */
export function lookInto(redis: TestRedis): Redis {
	const client = new Redis({ host: redis.host, port: redis.port })
	onTestFinished(() => client.disconnect())
	return client
}

/** The data of a client's messages, without what only concerns positions. */
export function dataOf(client: SseClient): string[] {
	return client.events.filter(({ event }) => event !== 'position').map(({ data }) => data)
}

import { createRedisMock } from 'js-redis-server'
import { findRedisBinary, RedisBinary } from './redis-binary.js'

/** Where a Redis for tests comes from: `REDIS_URL`, a server on the PATH, or the one written in JavaScript. */
export type RedisKind = 'url' | 'binary' | 'embedded'

/** How to start one. */
export interface StartRedisOptions {
	/** A fixed port; a free one otherwise. Not for kind `url`. */
	port?: number
	/** The data folder, kind `binary` only; a temporary one otherwise. */
	dir?: string
	/** More arguments for the server, kind `binary` only. */
	args?: readonly string[]
}

/** A running Redis. */
export interface TestRedis {
	readonly kind: RedisKind
	readonly url: string
	readonly host: string
	readonly port: number
	/** SIGKILL, nothing is saved. @throws Error unless the kind is `binary`. */
	kill(): Promise<void>
	/**
	 * Starts it again on the same port, killing it first if it runs. By default it is empty. With `keepData` a
	 * running server saves first; one that was killed comes back with what is on its disk.
	 *
	 * @throws Error unless the kind is `binary`.
	 */
	restart(options?: { keepData?: boolean }): Promise<void>
	/** SIGSTOP. @throws Error unless the kind is `binary`. */
	pause(): void
	/** SIGCONT. @throws Error unless the kind is `binary`. */
	resume(): void
	/** Ends it; one from `REDIS_URL` is left alone. Idempotent. */
	stop(): Promise<void>
}

/** The kind that {@link startRedis} will start or find. */
export function redisKind(): RedisKind {
	if (process.env.REDIS_URL) return 'url'
	return findRedisBinary() ? 'binary' : 'embedded'
}

/**
 * Finds or starts a Redis and prints which one. One from `REDIS_URL` is shared: use names of your own.
 *
 * @throws Error when the server does not come up, or `args` or `dir` are given and it is not kind `binary`.
 */
export async function startRedis(options: StartRedisOptions = {}): Promise<TestRedis> {
	const kind = redisKind()
	if (kind !== 'binary' && (options.args || options.dir)) {
		throw new Error(
			`A Redis of kind "${kind}" takes no args or dir: skip this suite by redisLacks('control', …)`,
		)
	}
	const redis = await { url: sharedRedis, binary: binaryRedis, embedded: embeddedRedis }[kind](options)
	console.log(`redis: ${redis.name} on ${redis.host}:${redis.port}`)
	return redis
}

interface NamedRedis extends TestRedis {
	readonly name: string
}

async function sharedRedis(): Promise<NamedRedis> {
	const { REDIS_URL: url = '' } = process.env
	const { hostname, port } = new URL(url)
	return {
		...uncontrolled('url'),
		name: 'REDIS_URL',
		url,
		host: hostname,
		port: Number(port || 6379),
		stop: async () => {},
	}
}

async function embeddedRedis({ port = 0 }: StartRedisOptions): Promise<NamedRedis> {
	const mock = await createRedisMock({ port })
	let stopped: Promise<void> | undefined
	return {
		...uncontrolled('embedded'),
		name: 'embedded js-redis-server',
		url: mock.url,
		host: mock.host,
		port: mock.port,
		stop: () => {
			stopped ??= mock.close()
			return stopped
		},
	}
}

async function binaryRedis(options: StartRedisOptions): Promise<NamedRedis> {
	const server = await RedisBinary.start(findRedisBinary() ?? 'redis-server', options)
	return {
		kind: 'binary',
		name: server.version,
		url: `redis://${server.host}:${server.port}`,
		host: server.host,
		port: server.port,
		kill: () => server.kill(),
		restart: (how) => server.restart(how),
		pause: () => server.pause(),
		resume: () => server.resume(),
		stop: () => server.stop(),
	}
}

function uncontrolled(kind: RedisKind): Pick<TestRedis, 'kind' | 'kill' | 'restart' | 'pause' | 'resume'> {
	const refuse = (): never => {
		throw new Error(
			`A Redis of kind "${kind}" cannot be killed or paused: skip this suite by redisLacks('control', …)`,
		)
	}
	return { kind, kill: async () => refuse(), restart: async () => refuse(), pause: refuse, resume: refuse }
}

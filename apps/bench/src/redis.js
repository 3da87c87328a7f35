/** A Redis for the cases that need one: the one of `REDIS_URL`, or a `redis-server` started for a measurement. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'

const { REDIS_URL } = process.env

/**
 * @typedef {object} OpenRedis
 * @property {string} url
 * @property {(prefix: string) => Promise<void>} clear Removes the keys that begin with it, or with it in braces.
 * @property {() => Promise<void>} close
 */

/** @returns {string | null} For example `7.0.15`; `null` if there is none. */
export function redisVersion() {
	if (REDIS_URL) return 'of REDIS_URL'
	const { status, stdout } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' })
	return status === 0 ? (/v=(\S+)/.exec(stdout)?.[1] ?? 'unknown') : null
}

/** @returns {string | undefined} What to do, if there is none. */
export function noRedis() {
	return redisVersion() === null
		? 'needs Redis. Put redis-server on the PATH, or name a server that runs in REDIS_URL.'
		: undefined
}

/** @returns {Promise<OpenRedis>} */
export async function openRedis() {
	if (REDIS_URL) return { url: REDIS_URL, clear: (prefix) => clear(REDIS_URL, prefix), close: async () => {} }
	const port = await freePort()
	const dir = mkdtempSync(join(tmpdir(), 'evstream-bench-'))
	const child = spawn(
		'redis-server',
		['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir],
		{ stdio: 'ignore' },
	)
	const kill = () => child.kill('SIGKILL')
	process.once('exit', kill)
	const url = `redis://127.0.0.1:${port}`
	const close = async () => {
		process.off('exit', kill)
		const gone = child.exitCode === null && child.signalCode === null && once(child, 'exit')
		kill()
		await gone
		rmSync(dir, { recursive: true, force: true })
	}
	try {
		await once(child, 'spawn')
		await withClient(url, (client) => client.ping())
	} catch (error) {
		await close()
		throw error
	}
	return { url, clear: async () => {}, close }
}

/**
 * @param {string} url
 * @param {string} prefix
 */
function clear(url, prefix) {
	return withClient(url, async (client) => {
		for (const match of [`${prefix}*`, `{${prefix}*`]) {
			for await (const keys of client.scanStream({ match, count: 1000 })) {
				if (keys.length > 0) await client.unlink(keys)
			}
		}
	})
}

/**
 * @template T
 * @param {string} url
 * @param {(client: Redis) => Promise<T>} run
 * @returns {Promise<T>}
 */
async function withClient(url, run) {
	// While the server starts it refuses connections.
	const client = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: 250 })
	client.on('error', () => {})
	try {
		return await run(client)
	} finally {
		client.disconnect()
	}
}

async function freePort() {
	const server = createServer().listen(0, '127.0.0.1')
	await once(server, 'listening')
	const address = server.address()
	server.close()
	await once(server, 'close')
	if (address === null || typeof address === 'string') throw new Error('no free port')
	return address.port
}

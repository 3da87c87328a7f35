/** Has processes change one value for a while, and sees that no change got lost. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { now } from '../clock.js'
import { Remote } from '../rpc.js'

/** @import { OpenRedis } from '../redis.js' */
/** @import { ChangeReport, Sizes } from '../types.js' */

const main = fileURLToPath(new URL('./changer.js', import.meta.url))

function launch() {
	// As in the lab: no loader, no export condition.
	const env = { ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '' }
	const child = spawn(process.execPath, [main], { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
	return new Remote(child, 'changer')
}

/**
 * Throws if the value is not the sum of all confirmed changes in the end, in every process.
 *
 * @param {string} name Of a counter.
 * @param {OpenRedis} redis
 * @param {number} processes
 * @param {number} lanes Changes each of them has in flight.
 * @param {Sizes} sizes
 */
export async function change(name, redis, processes, lanes, { warmupMs = 0, runMs = 0 }) {
	const key = `evstream-bench-${randomUUID()}`
	const changers = Array.from({ length: processes }, launch)
	/**
	 * @param {string} what
	 * @param {unknown} args
	 */
	const all = (what, args) => Promise.all(changers.map((changer) => changer.call(what, args, 60_000)))
	try {
		await all('start', { name, url: redis.url, key, lanes })
		const begin = now() + warmupMs * 1000
		/** @type {ChangeReport[]} */
		const reports = await all('run', { lanes, begin, end: begin + runMs * 1000 })
		await all(
			'settle',
			reports.reduce((sum, { done }) => sum + done, 0),
		)
		return {
			perSecond: reports.reduce((sum, { perSecond }) => sum + perSecond, 0),
			p50: Math.max(...reports.map(({ p50 }) => p50)),
			p99: Math.max(...reports.map(({ p99 }) => p99)),
		}
	} finally {
		await Promise.all(changers.map((changer) => changer.stop()))
		await redis.clear(key)
	}
}

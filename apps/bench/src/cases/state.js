/** A value that is changed as often as possible: in one process, and by several that contend for it over Redis. */
import { noRedis, openRedis } from '../redis.js'
import { change } from '../state/change.js'

/** @import { Figures } from '../types.js' */

const PROCESSES = 4
const LANES = 64
const MANY_LANES = 1000

/** @type {import('../types.js').Case} */
export const state = {
	name: 'state',
	title: 'State: one value, changed as often as possible, every change confirmed',
	contenders: ['evstream', 'lua-cas', 'watch-multi', 'lua-incr'],
	baseline: 'lua-cas',
	metrics: [
		{ key: 'number', label: 'in memory, a number: set/s', digits: 0 },
		{ key: 'object', label: 'an object: set/s', digits: 0 },
		{ key: 'one', label: '1 process × 64: set/s', digits: 0 },
		{ key: 'fourSingle', label: '4 processes × 1: set/s', digits: 0 },
		{ key: 'four', label: '4 processes × 64: set/s', digits: 0, ratio: true },
		{ key: 'p50', label: 'p50 ms', digits: 2 },
		{ key: 'p99', label: 'p99 ms', digits: 2 },
		{ key: 'fourMany', label: '4 processes × 1,000: set/s', digits: 0 },
	],
	obstacle: noRedis,
	setting: 'processes and Redis not pinned',
	sizes: {
		// `watch-multi` needs a connection for each change in flight.
		full: { connections: LANES * PROCESSES, warmupMs: 1000, runMs: 3000 },
		quick: { connections: LANES * PROCESSES, warmupMs: 200, runMs: 300 },
	},
	async measure(_open, sizes, contender) {
		const redis = await openRedis()
		try {
			/** @type {Figures} */
			const figures = {}
			if (contender === 'evstream') {
				figures.number = (await change('number', redis, 1, 1, sizes)).perSecond
				figures.object = (await change('object', redis, 1, 1, sizes)).perSecond
			}
			figures.one = (await change(contender, redis, 1, LANES, sizes)).perSecond
			figures.fourSingle = (await change(contender, redis, PROCESSES, 1, sizes)).perSecond
			const four = await change(contender, redis, PROCESSES, LANES, sizes)
			figures.four = four.perSecond
			figures.p50 = four.p50
			figures.p99 = four.p99
			if (contender === 'evstream' || contender === 'lua-incr') {
				figures.fourMany = (await change(contender, redis, PROCESSES, MANY_LANES, sizes)).perSecond
			}
			return figures
		} finally {
			await redis.close()
		}
	},
}

/** What evstream has to reach, and whether it did. */
import { median } from './stats.js'

/** @import { CaseResult } from './results.js' */

/**
 * @typedef {object} Target
 * @property {string} case
 * @property {string} metric
 * @property {string} what
 * @property {string} [subject] Who has to reach it, in place of `evstream`.
 * @property {string} [against] The contender it is compared with; without one the limit is for the value itself.
 * @property {true} [difference] It is compared by the difference, not by the ratio.
 * @property {number} [max]
 * @property {number} [min] In place of `max`: more is better.
 */

/** @typedef {{ target: Target, status: 'ok' | 'MISSED' | 'not measured', detail: string }} Verdict */

const SUBJECT = 'evstream'

/** @type {readonly Target[]} */
export const targets = [
	{ case: 'fanout', metric: 'cpu', what: 'fan-out CPU per delivery', against: 'raw-socket', max: 1.08 },
	{ case: 'fanout', metric: 'cpu', what: 'fan-out CPU per delivery', against: 'better-sse', max: 0.62 },
	{ case: 'burst', metric: 'cpu', what: 'burst CPU per delivery', against: 'raw-joined', max: 1.3 },
	{ case: 'burst', metric: 'cpu', what: 'burst CPU per delivery', against: 'better-sse', max: 0.3 },
	{ case: 'objects', metric: 'cpu', what: 'objects CPU per delivery', against: 'raw-socket', max: 1.1 },
	{ case: 'objects', metric: 'cpu', what: 'objects CPU per delivery', against: 'better-sse', max: 0.5 },
	{ case: 'https', metric: 'cpu', what: 'HTTPS CPU per delivery', against: 'raw-buffer', max: 0.92 },
	{ case: 'http2', metric: 'cpu', what: 'HTTP/2 CPU per delivery', against: 'raw-stream', max: 1.15 },
	{
		case: 'web',
		metric: 'cpu',
		what: 'web response CPU per delivery',
		subject: 'evstream-web',
		against: 'raw-enqueue',
		max: 1.02,
	},
	{ case: 'latency', metric: 'p99', what: 'latency p99', against: 'raw-socket', max: 1.15 },
	{ case: 'stream', metric: 'cpu', what: 'stream CPU per message, 50 a tick', against: 'raw-write', max: 1 },
	{ case: 'idle', metric: 'heap', what: 'idle heap per connection', against: 'bare-http', max: 1.15 },
	{ case: 'idle', metric: 'heap', what: 'idle heap per connection', against: 'better-sse', max: 0.45 },
	{ case: 'connect', metric: 'cpu', what: 'connect CPU per connection', against: 'bare-http', max: 1.15 },
	{ case: 'slow', metric: 'rssPerSlow', what: 'MB of RSS per slow client', max: 1.3 },
	{ case: 'slow', metric: 'lost', what: 'events lost by fast clients beside slow ones', max: 0 },
	{ case: 'slow', metric: 'p99Ratio', what: 'p99 of fast clients against a run without slow ones', max: 1.2 },
	{ case: 'hold', metric: 'missing', what: 'connections held but not reached', max: 0 },
	{
		case: 'reconnect',
		metric: 'p99',
		what: 'p99 of 10,000 that come back, ms',
		against: 'bare-http',
		difference: true,
		max: 1000,
	},
	{ case: 'redis', metric: 'us', what: 'time per message through Redis', against: 'ioredis', max: 2.5 },
	{ case: 'redis', metric: 'p99', what: 'p99 through Redis at 1,000 a second', against: 'ioredis', max: 2 },
	{ case: 'redis', metric: 'p50', what: 'p50 through Redis at 1,000 a second', against: 'ioredis', max: 2 },
	{ case: 'state', metric: 'number', what: 'set a second in one process, a number', min: 100_000 },
	{ case: 'state', metric: 'object', what: 'set a second in one process, an object', min: 100_000 },
	{ case: 'state', metric: 'four', what: 'set a second, 4 processes × 64', min: 50_000 },
	{ case: 'state', metric: 'fourMany', what: 'set a second, 4 processes × 1,000', min: 50_000 },
]

/**
 * @param {CaseResult} result
 * @param {string} contender
 * @param {string} metric
 */
function value({ contenders }, contender, metric) {
	// A run in which anything was lost failed and has no figures, so where there are figures nothing was lost.
	const runs = contenders[contender]?.runs ?? []
	return runs.length === 0
		? undefined
		: median(runs.map((run) => (metric === 'lost' ? 0 : (run[metric] ?? Number.NaN))))
}

/**
 * @param {CaseResult} result
 * @returns {Verdict[]}
 */
export function verdicts(result) {
	return targets
		.filter((target) => target.case === result.case)
		.map((target) => {
			const { subject = SUBJECT } = target
			const failed = result.contenders[subject]?.failures ?? []
			if (failed.length > 0) return { target, status: 'MISSED', detail: 'failed' }
			const own = value(result, subject, target.metric)
			const other = target.against === undefined ? 1 : value(result, target.against, target.metric)
			if (own === undefined || other === undefined) return { target, status: 'not measured', detail: '' }
			const measured = target.difference ? own - other : own / other
			const { min, max = Number.POSITIVE_INFINITY } = target
			// NaN is a miss.
			const reached = min === undefined ? measured <= max : measured >= min
			return {
				target,
				status: reached ? 'ok' : 'MISSED',
				detail: measured.toFixed(min === undefined ? 2 : 0),
			}
		})
}

/**
 * @param {Target} target
 * @returns {string} For example "≤ 1.08 × raw-socket".
 */
export function limit({ against, difference, max, min }) {
	if (difference) return `≤ ${against} + ${max}`
	if (min !== undefined) return `≥ ${min}`
	return against === undefined ? `≤ ${max}` : `≤ ${max?.toFixed(2)} × ${against}`
}

/** What the cases about CPU per delivery have in common. */

/** @import { Figures, LabOpener, Metric, RunPlan, Sizes } from '../types.js' */

/** @type {readonly Metric[]} */
export const CPU_METRICS = [
	{ key: 'cpu', label: 'CPU µs per delivery', digits: 2, ratio: true },
	{ key: 'user', label: 'of it user', digits: 2 },
	{ key: 'system', label: 'of it system', digits: 2 },
	{ key: 'serverBusy', label: 'server busy %', digits: 0 },
	{ key: 'loadBusy', label: 'load client busy %', digits: 0 },
]

/** What the cases of other transports share: they are compared with each other as ratios. */
export const TRANSPORT_SIZES = {
	full: { connections: 300, warmup: 2000, messages: 8000, budgetMs: 4000 },
	quick: { connections: 100, warmup: 50, messages: 100, budgetMs: 1000 },
}

/** @type {Omit<RunPlan, 'messages' | 'clients'>} */
export const ONE_A_TICK = { kind: 'string', bytes: 100, to: 'all', perTick: 1, ackEvery: 10, window: 20 }

/** Who can broadcast. */
export const BROADCASTERS = [
	'raw-write',
	'raw-socket',
	'evstream',
	'better-sse',
	'fastify-sse',
	'sse-channel',
	'h3',
	'hono',
]

/**
 * @param {Awaited<ReturnType<import('../lab.js').Lab['run']>>} result
 * @returns {Figures}
 */
export function cpuFigures({ cpu, load, wallMs, deliveries }) {
	/** @param {import('../types.js').Cpu} spent */
	const busy = ({ user, system }, ms = wallMs) => (user + system) / 10 / ms
	return {
		cpu: (cpu.user + cpu.system) / deliveries,
		user: cpu.user / deliveries,
		system: cpu.system / deliveries,
		serverBusy: busy(cpu),
		loadBusy: busy(load.cpu, load.wallMs),
	}
}

/**
 * Connects, verifies, warms up, measures.
 *
 * @param {LabOpener} open
 * @param {Sizes} sizes `warmup` and `messages` are the most messages that are sent; `budgetMs` may end it earlier.
 * @param {Omit<RunPlan, 'messages' | 'clients'>} pace
 * @returns {Promise<Figures>}
 */
export async function throughput(open, sizes, pace) {
	const { connections, warmup = 0, messages = 0, budgetMs = 0 } = sizes
	const lab = await open()
	await lab.connect(connections)
	await lab.verify(pace)
	await lab.run({ ...pace, messages: warmup, budgetMs: budgetMs / 3 })
	return cpuFigures(await lab.run({ ...pace, messages, budgetMs }))
}

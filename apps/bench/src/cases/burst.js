/** Ten messages a tick to many clients: who joins them, and how. */
import { BROADCASTERS, CPU_METRICS, throughput } from './throughput.js'

/** @type {import('../types.js').Case} */
export const burst = {
	name: 'burst',
	title: 'Bursts: 1,000 clients, 10 messages of 100 B a tick',
	contenders: [...BROADCASTERS, 'raw-joined'],
	baseline: 'raw-joined',
	metrics: CPU_METRICS,
	sizes: {
		full: { connections: 1000, warmup: 500, messages: 2000, budgetMs: 4000 },
		quick: { connections: 100, warmup: 100, messages: 500, budgetMs: 1000 },
	},
	measure: (open, sizes) =>
		throughput(open, sizes, { kind: 'string', bytes: 100, to: 'all', perTick: 10, ackEvery: 10, window: 20 }),
}

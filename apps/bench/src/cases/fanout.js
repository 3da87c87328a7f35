/** One message a tick to many clients. */
import { BROADCASTERS, CPU_METRICS, ONE_A_TICK, throughput } from './throughput.js'

/** @type {import('../types.js').Case} */
export const fanout = {
	name: 'fanout',
	title: 'Fan-out: 1,000 clients, one message of 100 B a tick',
	contenders: [...BROADCASTERS, 'raw-joined'],
	baseline: 'raw-socket',
	metrics: CPU_METRICS,
	sizes: {
		full: { connections: 1000, warmup: 100, messages: 400, budgetMs: 4000 },
		quick: { connections: 100, warmup: 50, messages: 100, budgetMs: 1000 },
	},
	measure: (open, sizes) => throughput(open, sizes, ONE_A_TICK),
}

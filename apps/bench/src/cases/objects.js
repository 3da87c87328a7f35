/** Objects of 1 KB: how often somebody stringifies them. */
import { BROADCASTERS, CPU_METRICS, throughput } from './throughput.js'

/** @type {import('../types.js').Case} */
export const objects = {
	name: 'objects',
	title: 'Objects: 1,000 clients, one object of 1 KB (as JSON) a tick',
	contenders: BROADCASTERS,
	baseline: 'raw-socket',
	metrics: CPU_METRICS,
	sizes: {
		full: { connections: 1000, warmup: 100, messages: 400, budgetMs: 4000 },
		quick: { connections: 100, warmup: 50, messages: 100, budgetMs: 1000 },
	},
	measure: (open, sizes) =>
		throughput(open, sizes, { kind: 'object', bytes: 1024, to: 'all', perTick: 1, ackEvery: 10, window: 20 }),
}

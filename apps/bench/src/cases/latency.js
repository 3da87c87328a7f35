/** Broadcasts at a calm pace: how long until they arrive. */
import { BROADCASTERS } from './throughput.js'

/** @type {import('../types.js').Case} */
export const latency = {
	name: 'latency',
	title: 'Latency: 1,000 clients, 10 broadcasts of 100 B a second',
	contenders: BROADCASTERS,
	baseline: 'raw-socket',
	metrics: [
		{ key: 'p50', label: 'p50 ms', digits: 1, ratio: true },
		{ key: 'p99', label: 'p99 ms', digits: 1, ratio: true },
		{ key: 'max', label: 'max ms', digits: 1 },
	],
	sizes: {
		full: { connections: 1000, warmup: 20, messages: 100 },
		quick: { connections: 100, warmup: 5, messages: 20 },
	},
	async measure(open, { connections, warmup = 0, messages = 0 }) {
		/** @type {Omit<import('../types.js').RunPlan, 'clients' | 'messages'>} */
		const pace = {
			kind: 'string',
			bytes: 100,
			timed: true,
			to: 'all',
			perTick: 1,
			ackEvery: 1,
			window: 1,
			everyMs: 100,
		}
		const lab = await open()
		await lab.connect(connections)
		await lab.verify(pace)
		await lab.run({ ...pace, messages: warmup })
		const { load } = await lab.run({ ...pace, messages })
		return { p50: load.p50, p99: load.p99, max: load.max }
	},
}

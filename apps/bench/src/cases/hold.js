/** Many connections in one process, all of them reached by one broadcast. */
import { BROADCASTERS } from './throughput.js'

/** @type {import('../types.js').Case} */
export const hold = {
	name: 'hold',
	title: 'Hold: 10,000 connections in one process, each reached by one broadcast',
	contenders: BROADCASTERS,
	baseline: 'raw-socket',
	metrics: [
		{ key: 'held', label: 'held', digits: 0 },
		{ key: 'missing', label: 'not reached', digits: 0 },
		{ key: 'reachMs', label: 'ms until all were reached', digits: 0, ratio: true },
	],
	repetitions: () => 1,
	sizes: {
		full: { connections: 10_000 },
		quick: { connections: 1000 },
	},
	async measure(open, { connections }) {
		/** @type {Omit<import('../types.js').RunPlan, 'clients'>} */
		const plan = {
			kind: 'string',
			bytes: 100,
			timed: true,
			to: 'all',
			messages: 1,
			perTick: 1,
			ackEvery: 1,
			window: 1,
		}
		const lab = await open()
		await lab.connect(connections)
		await lab.verify(plan)
		const { load } = await lab.run(plan)
		return { held: await lab.count(), missing: connections - load.events, reachMs: load.max }
	},
}

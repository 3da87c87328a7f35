/** Clients that never read: what they cost the process, and the clients beside them. */
import { BROADCASTERS } from './throughput.js'

/** @import { LabOpener, RunPlan, Sizes } from '../types.js' */

const MB = 1024 * 1024

/** @type {Omit<RunPlan, 'clients' | 'messages'>} */
const pace = {
	kind: 'string',
	bytes: 1024,
	timed: true,
	to: 'all',
	perTick: 10,
	ackEvery: 10,
	window: 20,
	watchRss: true,
}

/**
 * @param {LabOpener} open
 * @param {Sizes} sizes
 * @param {number} slow How many of the connections never read.
 */
async function once(open, { connections, warmup = 0, messages = 0 }, slow) {
	const lab = await open()
	await lab.connect(connections - slow)
	await lab.verify(pace)
	await lab.run({ ...pace, messages: warmup })
	const before = await lab.memory()
	if (slow > 0) await lab.connect(slow, { slow: true })
	const { load, peakRss } = await lab.run({ ...pace, messages })
	const kept = (await lab.count()) - (connections - slow)
	await lab.close()
	return { p99: load.p99, grown: peakRss - before.rss, kept }
}

/** @type {import('../types.js').Case} */
export const slow = {
	name: 'slow',
	title: 'Slow clients: 100 clients of which 10 never read, 20,000 messages of 1 KB',
	contenders: BROADCASTERS,
	baseline: 'raw-socket',
	metrics: [
		{ key: 'rssPerSlow', label: 'RSS MB per slow client', digits: 2 },
		{ key: 'p99', label: 'fast p99 ms', digits: 2 },
		{ key: 'p99Without', label: 'p99 ms without slow ones', digits: 2 },
		{ key: 'p99Ratio', label: 'their ratio', digits: 2 },
		{ key: 'kept', label: 'slow ones still connected', digits: 0 },
	],
	// The peers are there to compare memory with; that needs no repetitions, and theirs would take long.
	repetitions: (contender, reps) => (contender === 'evstream' || contender === 'raw-socket' ? reps : 1),
	sizes: {
		full: { connections: 100, slow: 10, warmup: 2000, messages: 20_000 },
		quick: { connections: 20, slow: 4, warmup: 200, messages: 4000 },
	},
	async measure(open, sizes) {
		const count = sizes.slow ?? 0
		// As many clients, who all read: ten more of those cost the others a fifth of their p99 by themselves.
		const without = await once(open, sizes, 0)
		const withSlow = await once(open, sizes, count)
		return {
			rssPerSlow: (withSlow.grown - without.grown) / MB / count,
			p99: withSlow.p99,
			p99Without: without.p99,
			p99Ratio: withSlow.p99 / without.p99,
			kept: withSlow.kept,
		}
	},
}

/** What a connection that does nothing keeps in memory. */

const KB = 1024
/** So that nothing which only happens once is counted for the connections. */
const FIRST = 200

/** @type {import('../types.js').Case} */
export const idle = {
	name: 'idle',
	title: 'Idle: memory per connection at 5,000 and 10,000 connections',
	contenders: [
		'bare-http',
		'raw-write',
		'evstream',
		'better-sse',
		'fastify-sse',
		'sse-channel',
		'h3',
		'hono',
	],
	baseline: 'bare-http',
	metrics: [
		{ key: 'heap', label: 'heap KB, all', digits: 2, ratio: true },
		{ key: 'heapHalf', label: 'heap KB, half', digits: 2 },
		{ key: 'rss', label: 'RSS KB, all', digits: 1, ratio: true },
		{ key: 'rssHalf', label: 'RSS KB, half', digits: 1 },
	],
	sizes: {
		full: { connections: 10_000 },
		quick: { connections: 1000 },
	},
	async measure(open, { connections }) {
		const lab = await open()
		await lab.connect(FIRST)
		const start = await lab.memory()
		/** @param {number} count */
		const grownTo = async (count) => {
			const { heap, rss } = await lab.memory()
			return {
				heap: (heap - start.heap) / KB / (count - FIRST),
				rss: (rss - start.rss) / KB / (count - FIRST),
			}
		}
		const half = connections / 2
		await lab.connect(half - FIRST)
		const atHalf = await grownTo(half)
		await lab.connect(connections - half)
		const atAll = await grownTo(connections)
		await lab.verify({ kind: 'string', bytes: 100, to: 'all' })
		return { heap: atAll.heap, heapHalf: atHalf.heap, rss: atAll.rss, rssHalf: atHalf.rss }
	},
}

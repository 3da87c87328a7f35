/** What accepting a client costs, from the request to the head on the wire. */

/** @type {import('../types.js').Case} */
export const connect = {
	name: 'connect',
	title: 'Connect: CPU per accepted connection',
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
		{ key: 'cpu', label: 'CPU µs per connection', digits: 0, ratio: true },
		{ key: 'user', label: 'of it user', digits: 0 },
		{ key: 'system', label: 'of it system', digits: 0 },
	],
	sizes: {
		// The warm-up lasts until what is compiled is compiled: what counts is a server that has been running.
		full: { connections: 12_000, warmup: 6000 },
		quick: { connections: 600, warmup: 200 },
	},
	async measure(open, { connections, warmup = 0 }) {
		const lab = await open()
		await lab.connect(warmup)
		await lab.memory()
		const before = await lab.cpu()
		const count = connections - warmup
		await lab.connect(count)
		const after = await lab.cpu()
		await lab.verify({ kind: 'string', bytes: 100, to: 'all' })
		const user = (after.user - before.user) / count
		const system = (after.system - before.system) / count
		return { cpu: user + system, user, system }
	},
}

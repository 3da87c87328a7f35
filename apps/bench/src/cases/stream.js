/** One client that gets a stream, as of tokens. */
import { cpuFigures } from './throughput.js'

/** @type {import('../types.js').Case} */
export const stream = {
	name: 'stream',
	title: 'Stream: one client, 50 messages of 100 B a tick, then one a tick',
	contenders: [
		'raw-write',
		'raw-socket',
		'raw-joined',
		'evstream',
		'better-sse',
		'fastify-sse',
		'sse-channel',
		'h3',
		'hono',
	],
	baseline: 'raw-write',
	metrics: [
		{ key: 'cpu', label: '50 a tick: CPU µs per message', digits: 2, ratio: true },
		{ key: 'user', label: 'of it user', digits: 2 },
		{ key: 'system', label: 'of it system', digits: 2 },
		{ key: 'cpu1', label: 'one a tick: CPU µs per message', digits: 2, ratio: true },
		{ key: 'user1', label: 'of it user', digits: 2 },
		{ key: 'system1', label: 'of it system', digits: 2 },
	],
	sizes: {
		full: {
			connections: 1,
			warmup: 50_000,
			messages: 400_000,
			warmup1: 20_000,
			messages1: 100_000,
			budgetMs: 3000,
		},
		quick: {
			connections: 1,
			warmup: 5000,
			messages: 20_000,
			warmup1: 2000,
			messages1: 10_000,
			budgetMs: 1000,
		},
	},
	async measure(open, { warmup = 0, messages = 0, warmup1 = 0, messages1 = 0, budgetMs = 0 }) {
		const lab = await open()
		await lab.connect(1)
		const data = /** @type {const} */ ({ kind: 'string', bytes: 100, to: 'one' })
		await lab.verify(data)

		const many = { ...data, perTick: 50, ackEvery: 500, window: 1000 }
		await lab.run({ ...many, messages: warmup, budgetMs: budgetMs / 3 })
		const { cpu, user, system } = cpuFigures(await lab.run({ ...many, messages, budgetMs }))

		const single = { ...data, perTick: 1, ackEvery: 200, window: 400 }
		await lab.run({ ...single, messages: warmup1, budgetMs: budgetMs / 3 })
		const one = cpuFigures(await lab.run({ ...single, messages: messages1, budgetMs }))
		return /** @type {import('../types.js').Figures} */ ({
			cpu,
			user,
			system,
			cpu1: one.cpu,
			user1: one.user,
			system1: one.system,
		})
	},
}

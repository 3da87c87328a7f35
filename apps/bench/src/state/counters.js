/** The ways to add one to a number that several processes share. */
import { Redis } from 'ioredis'
import { checkBuilt } from '../built.js'

/** @import { Counter } from '../types.js' */

/** @returns {Promise<typeof import('@evstream/state') & typeof import('@evstream/redis') & typeof import('@evstream/core')>} */
async function evstream() {
	checkBuilt('@evstream/core', import.meta.resolve('@evstream/core'))
	checkBuilt('@evstream/state', import.meta.resolve('@evstream/state'))
	checkBuilt('@evstream/redis', import.meta.resolve('@evstream/redis'))
	const [core, state, redis] = await Promise.all([
		import('@evstream/core'),
		import('@evstream/state'),
		import('@evstream/redis'),
	])
	return { ...core, ...state, ...redis }
}

/** @type {Record<string, (url: string, key: string, lanes: number) => Promise<Counter>>} */
export const counters = {
	/** An `EvState` in memory that holds a number. */
	async number() {
		const { EvState, EvStreamManager } = await evstream()
		const state = new EvState({ channel: 'n', initialValue: 0, manager: new EvStreamManager() })
		return { add: () => state.set((n) => n + 1), value: () => state.get() }
	},

	/** The same with an object. */
	async object() {
		const { EvState, EvStreamManager } = await evstream()
		const initialValue = { n: 0, list: [1, 2, 3, 4, 5], name: 'abc' }
		const state = new EvState({ channel: 'n', initialValue, manager: new EvStreamManager() })
		return {
			add: () =>
				state.set((value) => {
					value.n++
					return value
				}),
			value: () => state.get().n,
		}
	},

	/** An `EvState` that the processes share. */
	async evstream(url, key) {
		const { EvState, EvStreamManager, EvRedisAdapter } = await evstream()
		const adapter = new EvRedisAdapter(url, { namespace: key })
		const state = new EvState({ channel: 'n', initialValue: 0, manager: new EvStreamManager(), adapter })
		await state.ready
		return { add: () => state.set((n) => n + 1), value: () => state.get() }
	},

	/** A compare-and-set for every change, in a script that gives the current value when it refuses. */
	async 'lua-cas'(url, key) {
		const client = new Redis(url)
		const call = script(
			client,
			`local value = redis.call('GET', KEYS[1]) or '0'
			if value ~= ARGV[1] then return {0, value} end
			redis.call('SET', KEYS[1], ARGV[2])
			return {1, ARGV[2]}`,
		)
		let known = '0'
		return {
			async add() {
				for (;;) {
					const reply = await call(key, known, String(Number(known) + 1))
					const [done, value] = Array.isArray(reply) ? reply : []
					known = String(value)
					if (done === 1) return
				}
			},
			value: async () => Number(await client.get(key)),
		}
	},

	/** `WATCH`, `GET`, `MULTI`, `SET`, `EXEC` until nobody else was faster; each lane needs a connection of its own. */
	async 'watch-multi'(url, key, lanes) {
		const idle = Array.from({ length: lanes }, () => new Redis(url))
		await Promise.all(idle.map((client) => client.ping()))
		const [any] = idle
		return {
			async add() {
				const client = idle.pop()
				if (client === undefined) throw new Error('more lanes than connections')
				for (;;) {
					// Both are sent at once: the fastest way to do it.
					const [, value] = await Promise.all([client.watch(key), client.get(key)])
					if (
						await client
							.multi()
							.set(key, Number(value) + 1)
							.exec()
					)
						break
				}
				idle.push(client)
			},
			value: async () => Number(await any?.get(key)),
		}
	},

	/** An increment within Redis: what is left of it if Redis knows the change and there is nothing to compare. */
	async 'lua-incr'(url, key) {
		const client = new Redis(url)
		const call = script(client, `return redis.call('INCR', KEYS[1])`)
		return { add: () => call(key), value: async () => Number(await client.get(key)) }
	},
}

/**
 * @param {Redis} client
 * @param {string} lua With one key.
 * @returns {(key: string, ...args: string[]) => Promise<unknown>}
 */
function script(client, lua) {
	client.defineCommand('run', { numberOfKeys: 1, lua })
	/** @type {unknown} */
	const run = Reflect.get(client, 'run')
	if (typeof run !== 'function') throw new Error('the client has no script')
	return (...args) => Reflect.apply(run, client, args)
}

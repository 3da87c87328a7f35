import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis, type TestRedis, until } from '@evstream/testkit'
import {
	type EvAuthenticationOptions,
	type EvEventsType,
	type EvManagerOptions,
	EvMaxConnectionsError,
	EvMaxListenerError,
	type EvMessage,
	type EvOnClose,
	type EvOptions,
	EvState,
	type EvStateOptions,
	EvStreamManager,
	Evstream,
} from 'evstream'
import { EvRedisPubSub } from 'evstream/adapter/pub-sub'
import { EvRedisAdapter } from 'evstream/adapter/redis'
import { EvStateManager } from 'evstream/state-manager'
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from 'vitest'
import { cleanUp, expressUrl, follow } from './support.js'

/*
 * The documented examples of evstream 1.0.3, run as they stand there, with the bytes that its documentation
 * shows. Where this version differs on purpose, a comment says so, and `docs/migration.md` too.
 */

describe('Evstream', () => {
	it('sends exactly the documented bytes: connected, one heartbeat, end', async () => {
		// The heartbeat and the close are due at the same time: ten clients, since one could be lucky.
		const url = await expressUrl((app) =>
			app.get('/', (req, res) => {
				const stream = new Evstream(req, res, { heartbeat: 5000 })

				stream.message({ event: 'connected', data: { userId: 'a-user-id' } })

				setTimeout(() => {
					stream.close()
				}, 5000)
			}),
		)
		const bodies = Array.from({ length: 10 }, async (_, n) => {
			await sleep(n * 21.3)
			const client = await follow(url)
			await client.closed
			return client.raw
		})
		expect(new Set(await Promise.all(bodies))).toEqual(
			new Set([
				'event:connected\ndata:{"userId":"a-user-id"}\n\nevent:heartbeat\ndata:\n\nevent:end\ndata:\n\n',
			]),
		)
	})

	it('rejects a query token that verify refuses, with an error event', async () => {
		const results: (boolean | undefined)[] = []
		const url = await expressUrl((app) =>
			app.get('/', async (req, res) => {
				const stream = new Evstream(req, res, {
					heartbeat: 5000,
					authentication: { method: 'query', param: 'token', verify: async (_token) => false },
				})
				const isAuthenticated = await stream.authenticate()
				results.push(isAuthenticated)
				if (!isAuthenticated) {
					return
				}
				stream.message({ event: 'connected', data: { userId: 'a-user-id' } })
			}),
		)
		const client = await follow(`${url}/?token=a-token`)
		await client.closed
		expect(results).toEqual([false])
		// 1.0.3 answered 200, on which an EventSource reconnects for ever.
		expect(client.status).toBe(401)
		expect(client.events.map(({ event }) => event)).toEqual(['error'])
	})

	it('gives verify the query parameter and lets a good token in, with param and no method', async () => {
		const tokens: string[] = []
		const url = await expressUrl((app) =>
			app.get('/', async (req, res) => {
				const ev = new Evstream(req, res, {
					heartbeat: 30000,
					authentication: {
						param: 'token',
						verify: async (token) => {
							tokens.push(token)
							return token === 'valid_token'
						},
					},
				})
				expect(await ev.authenticate()).toBe(true)
				ev.message({ event: 'message', data: { text: 'Hello world' }, id: '1' })
				ev.close()
			}),
		)
		const client = await follow(`${url}/?token=valid_token`)
		await client.closed
		expect(tokens).toEqual(['valid_token'])
		expect(client.status).toBe(200)
		expect(client.raw).toBe('event:message\nid:1\ndata:{"text":"Hello world"}\n\nevent:end\ndata:\n\n')
	})

	it('gives undefined from authenticate where no authentication is configured', async () => {
		const url = await expressUrl((app) =>
			app.get('/', async (req, res) => {
				const ev = new Evstream(req, res)
				ev.message({ data: String(await ev.authenticate()) })
				ev.close()
			}),
		)
		const client = await follow(url)
		await client.closed
		expect(client.raw).toBe('data:undefined\n\nevent:end\ndata:\n\n')
	})
})

describe('EvStreamManager', () => {
	it('makes streams that send on a timer until they are closed', async () => {
		const manager = new EvStreamManager()
		const url = await expressUrl((app) =>
			app.get('/', (req, res) => {
				const stream = manager.createStream(req, res)

				const i = setInterval(() => {
					stream.message({ data: { hello: 'hii' } })
				}, 2000)

				stream.message({ data: { why: 'hii' }, event: 'hello' })

				setTimeout(() => {
					clearTimeout(i)
					stream.close()
				}, 10000)
			}),
		)
		const client = await follow(url)
		await client.closed
		const [first, ...rest] = client.raw.split('\n\n')
		expect(first).toBe('event:hello\ndata:{"why":"hii"}')
		// The fifth tick of 2 s and the close after 10 s are due at once.
		expect(rest.length).toBeGreaterThanOrEqual(6)
		expect(rest.slice(-2)).toEqual(['event:end\ndata:', ''])
		expect(new Set(rest.slice(0, -2))).toEqual(new Set(['data:{"hello":"hii"}']))
		expect(manager.stats().connections).toBe(0)
	}, 30_000)

	it('sends to a channel, and to its listeners only', async () => {
		const manager = new EvStreamManager()
		const url = await expressUrl((app) =>
			app.get('/:channel', (req, res) => {
				const client = manager.createStream(req, res)
				client.listen(req.params.channel)
			}),
		)
		const [inside, outside] = [await follow(`${url}/here`), await follow(`${url}/there`)]
		manager.send('here', { event: 'custom-event', data: { foo: 'bar' } })
		await inside.next('custom-event')
		expect(inside.raw).toBe('event:custom-event\ndata:{"foo":"bar"}\n\n')
		expect(outside.raw).toBe('')
	})

	it('authenticates, listens, sends one message to the client and one to the channel', async () => {
		const manager = new EvStreamManager()
		const url = await expressUrl((app) =>
			app.get('/', async (req, res) => {
				const stream = manager.createStream(req, res)

				await stream.authenticate()
				stream.listen('news')
				stream.message({ event: 'hello', data: 'welcome' })

				manager.send('news', { event: 'news', data: 'breaking update' })
			}),
		)
		const client = await follow(url)
		await client.next('news')
		expect(client.raw).toBe('event:hello\ndata:welcome\n\nevent:news\ndata:breaking update\n\n')
	})

	it('gives functions that work when they are taken off the stream', async () => {
		const manager = new EvStreamManager()
		const url = await expressUrl((app) =>
			app.get('/', async (req, res) => {
				const { authenticate, message, close, listen } = manager.createStream(req, res)
				await authenticate()
				listen('news')
				message({ data: 'welcome' })
				close()
			}),
		)
		const client = await follow(url)
		await client.closed
		expect(client.raw).toBe('data:welcome\n\nevent:end\ndata:\n\n')
	})

	it('throws EvMaxConnectionsError over maxConnection and EvMaxListenerError over maxListeners', async () => {
		const manager = new EvStreamManager({ id: 'web', maxConnection: 2, maxListeners: 1 })
		const thrown: unknown[] = []
		const url = await expressUrl((app) =>
			app.get('/', (req, res) => {
				try {
					const stream = manager.createStream(req, res)
					expect(stream.id).toMatch(/^web-/)
					stream.listen('news')
				} catch (error) {
					thrown.push(error)
					if (!res.headersSent) res.status(503).end()
				}
			}),
		)
		await follow(url)
		await follow(url)
		expect((await follow(url)).status).toBe(503)
		expect(thrown).toMatchObject([
			{ name: 'EvMaxListenerError', listeners: 1, channel: 'news' },
			{ name: 'EvMaxConnectionsError', connections: 2 },
		])
	})

	it('makes the documented errors by hand', () => {
		expect(new EvMaxConnectionsError(100)).toMatchObject({ connections: 100 })
		expect(new EvMaxListenerError(5000, 'news')).toMatchObject({ listeners: 5000, channel: 'news' })
	})
})

describe('EvState', () => {
	it('gets, sets, and broadcasts under the key', async () => {
		const manager = new EvStreamManager()
		const state = new EvState({ channel: 'counter', initialValue: 0, manager, key: 'count' })
		cleanUp(() => state.close())
		const url = await expressUrl((app) =>
			app.get('/', (req, res) => manager.createStream(req, res).listen('counter')),
		)
		const client = await follow(url)
		await client.next('counter')
		state.set((prev) => prev + 1)
		expect(state.get()).toBe(1)
		await client.next('counter')
		// A newcomer gets the current value first; 1.0.3 left it without one until the next change.
		expect(client.raw).toBe('event:counter\ndata:{"count":0}\n\nevent:counter\ndata:{"count":1}\n\n')
	})

	it('counts users: set on arrival, and again in the callback of close, which gets the channels', async () => {
		const manager = new EvStreamManager()
		const userCount = new EvState({ channel: 'user-count', initialValue: 0, manager: manager })
		cleanUp(() => userCount.close())
		const left: string[][] = []
		const url = await expressUrl((app) =>
			app.get('/', (req, res) => {
				const stream = manager.createStream(req, res)
				stream.listen('user-count')
				userCount.set((user) => user + 1)

				const i = setInterval(() => {
					stream.message({ data: { hello: 'hii' } })
				}, 200)

				stream.message({ data: { why: 'hii' }, event: 'hello' })

				setTimeout(() => {
					clearTimeout(i)
					stream.close((channels) => {
						userCount.set((user) => user - 1)
						left.push(channels)
					})
				}, 500)
			}),
		)
		const client = await follow(url)
		await until(() => client.raw.includes('hello'))
		expect(userCount.get()).toBe(1)
		await client.closed
		expect(client.raw).toBe(
			'event:user-count\ndata:{"value":0}\n\nevent:user-count\ndata:{"value":1}\n\n' +
				'event:hello\ndata:{"why":"hii"}\n\n' +
				'data:{"hello":"hii"}\n\ndata:{"hello":"hii"}\n\nevent:end\ndata:\n\n',
		)
		expect(left).toEqual([['user-count']])
		expect(userCount.get()).toBe(0)
	})

	it('counts with an assignment in the callback', () => {
		const userCount = new EvState({ channel: 'n', initialValue: 0, manager: new EvStreamManager() })
		cleanUp(() => userCount.close())
		userCount.set((prev) => (prev += 1))
		expect(userCount.get()).toBe(1)
	})
})

describe('on Redis', () => {
	let redis: TestRedis

	beforeAll(async () => {
		redis = await startRedis()
	})
	afterAll(() => redis.stop())

	it('keeps an EvState with an EvRedisAdapter the same on two instances', async () => {
		// The documented name is user-count; a Redis from REDIS_URL may be in use elsewhere too.
		const channel = `user-count-${randomUUID()}`
		const instance = async () => {
			const manager = new EvStreamManager()
			const redisAdapter = new EvRedisAdapter(redis.url)
			const userCount = new EvState({
				channel,
				initialValue: 0,
				manager: manager,
				adapter: redisAdapter,
			})
			cleanUp(() => redisAdapter.close())
			cleanUp(() => userCount.close())
			const url = await expressUrl((app) =>
				app.get('/', (req, res) => manager.createStream(req, res).listen(channel)),
			)
			return { userCount, url }
		}
		const [one, two] = [await instance(), await instance()]
		const client = await follow(two.url)
		await until(() => client.events.length > 0)
		one.userCount.set((user) => user + 1)
		await client.next(({ data }) => data === '{"value":1}')
		await until(() => one.userCount.get() === 1 && two.userCount.get() === 1)
		expect(client.raw).toBe(`event:${channel}\ndata:{"value":0}\n\nevent:${channel}\ndata:{"value":1}\n\n`)
	})

	it('creates and removes states of an EvStateManager with adapter and pubsub on all instances', async () => {
		const subject = `ev:states-${randomUUID()}`
		const key = `user-count-${randomUUID()}`
		const { host, port, url } = redis
		const instance = () => {
			const streamManager = new EvStreamManager()
			const adapter = new EvRedisAdapter(url)
			const pubsub = new EvRedisPubSub({ subject, options: { host, port } })
			const stateManager = new EvStateManager({ manager: streamManager, adapter, pubsub })
			cleanUp(() => adapter.close())
			cleanUp(() => pubsub.close())
			cleanUp(() => stateManager.close())
			return stateManager
		}
		const [one, two] = [instance(), instance()]
		const userCount = one.createState(key, 0)
		await until(() => two.hasState(key))
		await userCount.set((v) => v + 1)
		await until(() => two.getState(key)?.get() === 1)
		expect(one.createState(key, 5)).toBe(userCount)
		one.removeState(key)
		expect(one.hasState(key)).toBe(false)
		expect(one.getState(key)).toBeUndefined()
		await until(() => !two.hasState(key))
	})

	it('sends with EvRedisPubSub to the others, and not to itself', async () => {
		const subject = `ev:states-${randomUUID()}`
		const received: string[] = []
		const make = (name: string) => {
			const pubsub = new EvRedisPubSub({
				subject,
				options: { host: redis.host, port: redis.port },
				onMessage: () => received.push('replaced'),
			})
			pubsub.onMessage((msg) => received.push(`${name} ${JSON.stringify(msg)}`))
			cleanUp(() => pubsub.close())
			return pubsub
		}
		const [one, two] = [make('one'), make('two')]
		await Promise.all([one.ready, two.ready])
		await one.send({ type: 'create', channel: 'user-count' })
		await until(() => received.length > 0)
		// Its own message would have come before this one.
		await two.send({ type: 'remove', channel: 'user-count' })
		await until(() => received.length > 1)
		expect(received).toEqual([
			'two {"type":"create","channel":"user-count"}',
			'one {"type":"remove","channel":"user-count"}',
		])
		await one.close()
	})
})

describe('the documented types', () => {
	it('accept what the documentation passes', () => {
		expectTypeOf<'data' | 'error' | 'end'>().toExtend<EvEventsType>()
		expectTypeOf<{ event?: string; data: string | object; id?: string }>().toExtend<EvMessage>()
		expectTypeOf<{
			method: 'query'
			param: string
			verify: (token: string) => Promise<EvMessage>
		}>().toExtend<EvAuthenticationOptions>()
		expectTypeOf<{
			param: string
			verify: (token: string) => boolean | undefined | null
		}>().toExtend<EvAuthenticationOptions>()
		expectTypeOf<{ authentication?: EvAuthenticationOptions; heartbeat?: number }>().toExtend<EvOptions>()
		expectTypeOf<{
			id?: string
			maxConnection?: number
			maxListeners?: number
		}>().toExtend<EvManagerOptions>()
		expectTypeOf<{
			initialValue: number
			channel: string
			manager: EvStreamManager
			key?: string
			adapter?: EvRedisAdapter
		}>().toExtend<EvStateOptions<number>>()
		expectTypeOf<(channels: string[]) => Promise<void>>().toExtend<EvOnClose>()
	})

	it('make a state manager typed by its keys', () => {
		const manager = new EvStreamManager()
		const states = new EvStateManager<{ 'user-count': number }>({ manager })
		cleanUp(() => states.close())
		const state = states.createState('user-count', 0)
		state.set((v) => v + 1)
		expectTypeOf(state.get()).toEqualTypeOf<number>()
		expectTypeOf(states.getState('user-count')).toEqualTypeOf<EvState<number> | undefined>()
		expect(states.getState('user-count')?.get()).toBe(1)
		states.removeState('user-count')
		expect(states.hasState('user-count')).toBe(false)
	})
})

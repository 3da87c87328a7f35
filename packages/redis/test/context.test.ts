import { randomUUID } from 'node:crypto'
import { type ChannelLog, EvStreamManager, EvUnavailableError, type LogEntry } from '@evstream/core'
import { EvState } from '@evstream/state'
import { AwaitableQueue, currentRequest, forgotten, inRequest, startTcpProxy, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EvRedisAdapter, type EvRedisAdapterOptions, type RedisSource } from '../src/index.js'
import { useRedis } from './support/log-instances.js'

/** Creates a state in the store. */
async function create({ states }: EvRedisAdapter, name: string): Promise<void> {
	await states.create(name, '1', await states.look(name), false)
}

const redis = useRedis()

function openAdapter(source: RedisSource = redis().url, options: EvRedisAdapterOptions = {}): EvRedisAdapter {
	const adapter = new EvRedisAdapter(source, { namespace: randomUUID(), ...options })
	onTestFinished(() => adapter.close())
	return adapter
}

/** A client that connects with its first command, and watches for 60 s whether there is an answer. */
function lazyClient(): Redis {
	const client = new Redis(redis().url, { lazyConnect: true, socketTimeout: 60_000 })
	onTestFinished(() => client.disconnect())
	return client
}

function openState(adapter: EvRedisAdapter, onError?: (error: unknown) => void): EvState<number> {
	const manager = new EvStreamManager({ keepAlive: false })
	const state = new EvState<number>({ channel: 'n', initialValue: 0, manager, adapter, onError })
	onTestFinished(async () => {
		state.close()
		await manager.close({ drainMs: 0 })
	})
	return state
}

function openLog(adapter: EvRedisAdapter): { log: ChannelLog; delivered: AwaitableQueue<LogEntry> } {
	const delivered = new AwaitableQueue<LogEntry>()
	const log = adapter.openLog(
		{ deliver: delivered.push, reset: () => {}, direct: () => {}, error: () => {} },
		{ instance: `${randomUUID()}-`, resumable: true, retention: () => ({ size: 100, ttl: 60_000 }) },
	)
	onTestFinished(() => log.close())
	return { log, delivered }
}

describe('functions run in the request that gave them', () => {
	it('of a state on Redis: changes, subscribers and equals', async () => {
		const adapter = openAdapter()
		const state = openState(adapter)
		await state.ready
		const seen: [string, string | undefined][] = []
		inRequest('subscriber', () => state.subscribe(() => seen.push(['subscriber', currentRequest()])))
		const set = (name: string) =>
			inRequest(name, async () => {
				await state.set((value) => {
					seen.push([name, currentRequest()])
					return value + 1
				})
				seen.push([`after ${name}`, currentRequest()])
			})
		await Promise.all([set('a'), set('b')])
		expect(seen.filter(([name]) => name === 'a' || name === 'b')).toEqual([
			['a', 'a'],
			['b', 'b'],
		])
		expect(seen).toContainEqual(['subscriber', 'subscriber'])
		expect(seen).toContainEqual(['after a', 'a'])
		expect(seen).toContainEqual(['after b', 'b'])
		expect(new Set(seen.filter(([name]) => name === 'subscriber').map(([, request]) => request))).toEqual(
			new Set(['subscriber']),
		)
	})

	it('of an adapter: onError', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const requests = new AwaitableQueue<string | undefined>()
		const source = { host: '127.0.0.1', port: proxy.port }
		const onError = () => requests.push(currentRequest())
		const adapter = inRequest('maker', () => openAdapter(source, { namespace: 'context', onError }))
		const state = inRequest('state', () => openState(adapter, () => {}))
		await inRequest('waiter', () => state.ready)
		await until(() => adapter.healthy)
		// What nobody waits for: garbage on a channel, and a connection that is lost.
		const other = new Redis(redis().url)
		onTestFinished(() => other.disconnect())
		await other.publish('{context}:0:state:n', 'garbage')
		expect(await requests.next()).toBe('maker')
		proxy.refuse(true)
		proxy.cut()
		expect(await requests.next()).toBe('maker')
	})

	it('of watchers of the store, when messages may have been missed', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const adapter = openAdapter({ host: '127.0.0.1', port: proxy.port }, { onError: () => {} })
		const [missed, changed] = [
			new AwaitableQueue<string | undefined>(),
			new AwaitableQueue<string | undefined>(),
		]
		await inRequest('a', () =>
			adapter.states.watch('n', { changed: () => {}, missed: () => missed.push(currentRequest()) }),
		)
		await inRequest('b', () =>
			adapter.states.watchList({ changed: () => {}, missed: () => changed.push(currentRequest()) }),
		)
		proxy.cut()
		expect(await missed.next()).toBe('a')
		expect(await changed.next()).toBe('b')
	})

	it('of a watcher of the store', async () => {
		const adapter = openAdapter()
		const requests = new AwaitableQueue<string | undefined>()
		const watcher = { changed: () => requests.push(currentRequest()), missed: () => {} }
		await inRequest('watcher', () => adapter.states.watch('n', watcher))
		await inRequest('other', () => create(adapter, 'n'))
		expect(await requests.next()).toBe('watcher')
	})
})

describe('nothing keeps the store of a request', () => {
	it('that made an adapter, whose connections are open', async () => {
		const made: EvRedisAdapter[] = []
		await forgotten(async () => {
			const adapter = openAdapter()
			made.push(adapter)
			await create(adapter, 'n')
		})
		expect(made[0]?.healthy).toBe(true)
	})

	it('that opened a log', async () => {
		const adapter = openAdapter()
		const made: ReturnType<typeof openLog>[] = []
		await forgotten(() => void made.push(openLog(adapter)))
		await made[0]?.log.subscribe('c')
		await made[0]?.log.append('c', 'x')
		expect(await made[0]?.delivered.next()).toMatchObject({ payload: 'x' })
	})

	it('that sent the first message, and so connected the client', async () => {
		const client = lazyClient()
		const { log } = openLog(openAdapter(client))
		await forgotten(() => log.append('c', 'x'))
		expect(client.status).toBe('ready')
	})

	it('whose message went out before one that still waits for its answer', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const adapter = openAdapter({ host: '127.0.0.1', port: proxy.port }, { probe: false, onError: () => {} })
		const { log } = openLog(adapter)
		await log.append('c', 'before')
		let later: unknown
		await forgotten(async () => {
			await log.append('c', 'first')
			proxy.blackhole(true)
			later = inRequest('later', () => log.append('c', 'second'))
			await until(() => adapter.stats().pending === 1)
		})
		expect(adapter.stats().pending).toBe(1)
		proxy.blackhole(false)
		await later
	})

	it('that was the first to subscribe a channel, and stays subscribed', async () => {
		const { log, delivered } = openLog(openAdapter())
		await forgotten(() => log.subscribe('c'))
		await log.append('c', 'x')
		expect(await delivered.next()).toMatchObject({ payload: 'x' })
	})

	it('that read the log', async () => {
		const { log } = openLog(openAdapter(lazyClient()))
		const { epoch, seq } = await log.append('c', 'x')
		await forgotten(() => log.read(['c'], { after: { epoch, seq: seq - 1 } }))
		expect((await log.read(['c'], { after: { epoch, seq: seq - 1 } })).entries).toHaveLength(1)
	})

	it('that ended a subscription while Redis could not be reached', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		proxy.blackhole(true)
		const { log } = openLog(openAdapter({ host: '127.0.0.1', port: proxy.port }, { onError: () => {} }))
		const subscribed = Promise.resolve(log.subscribe('c')).catch(() => 'refused')
		await forgotten(() => log.unsubscribe('c'))
		log.close()
		proxy.blackhole(false)
		expect(await subscribed).toBe('refused')
	})

	it('that changed a state, and so connected the client', async () => {
		const client = lazyClient()
		const adapter = openAdapter(client)
		const states: EvState<number>[] = []
		await forgotten(async () => {
			const state = openState(adapter)
			states.push(state)
			await state.set((value) => value + 1)
		})
		expect(states[0]?.get()).toBe(1)
		expect(client.status).toBe('ready')
	})

	it('that read the store itself', async () => {
		const client = lazyClient()
		const adapter = openAdapter(client)
		await forgotten(() => create(adapter, 'n'))
		expect(client.status).toBe('ready')
	})

	it('that asked in vain, while the connection is kept', async () => {
		const proxy = await startTcpProxy({ host: redis().host, port: redis().port })
		onTestFinished(() => proxy.close())
		const client = new Redis({ host: '127.0.0.1', port: proxy.port })
		onTestFinished(() => client.disconnect())
		const adapter = openAdapter(client, { deadline: 400, probe: false, onError: () => {} })
		await client.ping()
		const { log } = openLog(adapter)
		const { epoch } = await log.append('c', 'x')
		proxy.blackhole(true)
		const refused: unknown[] = []
		const refuse = (error: unknown) => refused.push(error instanceof EvUnavailableError)
		await forgotten(() => Promise.resolve(log.read(['c'], { after: { epoch, seq: 0 } })).catch(refuse))
		await forgotten(() => Promise.resolve(create(adapter, 'n')).catch(refuse))
		expect(refused).toEqual([true, true])
		expect(client.status).toBe('ready')
	})

	it('that sent one message through a manager', async () => {
		const manager = new EvStreamManager({ keepAlive: false, adapter: openAdapter(lazyClient()) })
		onTestFinished(() => manager.close({ drainMs: 0 }))
		await forgotten(() => manager.send('c', { data: 'x' }))
	})
})

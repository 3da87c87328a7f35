import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { EvStreamManager } from '@evstream/core'
import { EvState } from '@evstream/state'
import {
	listenHttp,
	openSse,
	redisLacks,
	type SseClient,
	startRedis,
	type TestRedis,
	until,
} from '@evstream/testkit'
import { Cluster, Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { EvRedisAdapter } from '../src/index.js'
import { Opened } from './instance.js'

const noCluster = redisLacks('control', 'Redis Cluster')

const NODES = 3
const SLOTS = 16_384

/** A node's bus takes its port and 10,000. */
async function freeClusterPort(): Promise<number> {
	for (let attempt = 0; attempt < 100; attempt++) {
		const port = 12_000 + Math.floor(Math.random() * 18_000)
		if ((await isFree(port)) && (await isFree(port + 10_000))) return port
	}
	throw new Error('No port for a Cluster node')
}

async function isFree(port: number): Promise<boolean> {
	const server = createServer().listen(port, '127.0.0.1')
	const free = await once(server, 'listening').then(
		() => true,
		() => false,
	)
	server.close()
	return free
}

async function startCluster(): Promise<TestRedis[]> {
	const nodes: TestRedis[] = []
	for (let index = 0; index < NODES; index++) {
		nodes.push(
			await startRedis({
				port: await freeClusterPort(),
				args: ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'],
			}),
		)
	}
	const clients = nodes.map(({ url }) => new Redis(url))
	const share = Math.ceil(SLOTS / NODES)
	for (const [index, client] of clients.entries()) {
		await client.cluster('SET-CONFIG-EPOCH', index + 1)
		const first = index * share
		const count = Math.min(share, SLOTS - first)
		await client.cluster('ADDSLOTS', ...Array.from({ length: count }, (_, slot) => first + slot))
		const port = nodes[0]?.port ?? 0
		if (index > 0) await client.cluster('MEET', '127.0.0.1', port)
	}
	await until(
		async () => {
			const infos = await Promise.all(clients.map((client) => client.cluster('INFO')))
			return infos.every(
				(info) => /cluster_state:ok/.test(info) && info.includes(`cluster_known_nodes:${NODES}`),
			)
		},
		{ timeout: 20_000, what: 'the Cluster' },
	)
	for (const client of clients) client.disconnect()
	return nodes
}

describe.skipIf(noCluster)('EvRedisAdapter on a Redis Cluster of three nodes', () => {
	let nodes: TestRedis[] = []
	const opened = new Opened()

	beforeAll(async () => {
		nodes = await startCluster()
	})
	afterEach(() => opened.close())
	afterAll(() => Promise.all(nodes.map((node) => node.stop())))

	function cluster(): Cluster {
		const startupNodes = nodes.map(({ host, port }) => ({ host, port }))
		return opened.add(new Cluster(startupNodes), (client) => client.disconnect())
	}

	/** An instance with a client of its own, as in a process of its own. */
	async function instance(namespace: string) {
		const errors: unknown[] = []
		const onError = (error: unknown): void => void errors.push(error)
		const adapter = opened.add(new EvRedisAdapter(cluster(), { namespace, onError }), (one) => one.close())
		const manager = opened.add(
			new EvStreamManager({ adapter, history: { size: 1000, ttl: 60_000 }, keepAlive: false, onError }),
			(one) => one.close(),
		)
		const server = opened.add(
			await listenHttp((req, res) => {
				const stream = manager.createStream(req, res)
				stream.listen('a')
				stream.listen('b')
			}),
			(one) => one.close(),
		)
		const listen = async (lastEventId?: string): Promise<SseClient> => {
			const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
			const client = opened.add(await openSse(server.url, { headers }), (one) => one.close())
			await until(() => client.events.some(({ id }) => id !== undefined), { what: 'a position' })
			return client
		}
		return { manager, adapter, errors, onError, listen }
	}

	it('delivers, keeps and resumes over instances', async () => {
		const namespace = randomUUID()
		const [one, two] = [await instance(namespace), await instance(namespace)]
		const live = await two.listen()
		const own = await one.listen()
		const send = (from: number, to: number): Promise<unknown> =>
			Promise.all(
				Array.from({ length: to - from }, (_, index) =>
					one.manager.send(index % 2 === 0 ? 'a' : 'b', { event: 'n', data: String(from + index) }),
				),
			)
		const numbers = (client: SseClient): number[] =>
			client.events.filter(({ event }) => event === 'n').map(({ data }) => Number(data))
		const range = (from: number, to: number): number[] =>
			Array.from({ length: to - from }, (_, index) => from + index)

		await send(0, 100)
		await until(() => numbers(live).length === 100 && numbers(own).length === 100)
		expect(numbers(live)).toEqual(range(0, 100))
		expect(numbers(own)).toEqual(range(0, 100))
		const { id } = live.events.at(-1) ?? {}
		live.close()
		await send(100, 200)
		const back = await two.listen(id)
		await send(200, 250)
		await until(() => numbers(back).length >= 150)
		expect(numbers(back)).toEqual(range(100, 250))
		expect(back.events.some(({ event }) => event === 'reset')).toBe(false)
		expect([...one.errors, ...two.errors]).toEqual([])
	})

	it('hands a message to a stream on another instance', async () => {
		const namespace = randomUUID()
		const [one, two] = [await instance(namespace), await instance(namespace)]
		let id = ''
		const server = opened.add(
			await listenHttp((req, res) => {
				id = two.manager.createStream(req, res).id
			}),
			(it) => it.close(),
		)
		const client = opened.add(await openSse(server.url), (it) => it.close())
		await until(() => two.adapter.healthy)
		expect(await one.manager.to(id, { event: 'direct', data: 'x' })).toBe(false)
		expect(await client.next('direct')).toMatchObject({ data: 'x' })
		expect([...one.errors, ...two.errors]).toEqual([])
	})

	it('counts states exactly', async () => {
		const namespace = randomUUID()
		const instances = [await instance(namespace), await instance(namespace)]
		const states = instances.map(({ manager, adapter, onError }) =>
			opened.add(
				new EvState({ channel: 'n', initialValue: 0, manager, adapter, onError, checkInterval: false }),
				(state) => state.close(),
			),
		)
		await Promise.all(states.map((state) => state.ready))
		await Promise.all(
			states.flatMap((state) => Array.from({ length: 200 }, () => state.set((value) => value + 1))),
		)
		await until(() => states.every((state) => state.get() === 400))
		expect(instances.flatMap(({ errors }) => errors)).toEqual([])
	})

	it('works with namespaces on every node', async () => {
		const direct = opened.add(new Redis(nodes[0]?.url ?? ''), (client) => client.disconnect())
		const share = Math.ceil(SLOTS / NODES)
		const used = new Set<number>()
		for (let number = 0; used.size < NODES; number++) {
			const namespace = `${randomUUID()}-${number}`
			const node = Math.floor((await direct.cluster('KEYSLOT', `{${namespace}}:log`)) / share)
			if (used.has(node)) continue
			used.add(node)
			const [one, two] = [await instance(namespace), await instance(namespace)]
			const client = await two.listen()
			await one.manager.send('a', { event: 'n', data: namespace })
			expect(await client.next('n')).toMatchObject({ data: namespace })
			const state = opened.add(
				new EvState({ channel: 's', initialValue: 0, manager: one.manager, adapter: one.adapter }),
				(it) => it.close(),
			)
			expect(await state.set((value) => value + 1)).toBe(1)
			expect([...one.errors, ...two.errors]).toEqual([])
			const owner = opened.add(new Redis(nodes[node]?.url ?? ''), (it) => it.disconnect())
			expect(await owner.exists(`{${namespace}}:log`)).toBe(1)
		}
	})
})

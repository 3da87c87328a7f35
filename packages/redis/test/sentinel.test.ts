import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EvStreamManager } from '@evstream/core'
import {
	findRedisBinary,
	freePort,
	listenHttp,
	openSse,
	redisLacks,
	type SseClient,
	startRedis,
	startTcpProxy,
	until,
} from '@evstream/testkit'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { EvRedisAdapter } from '../src/index.js'
import { Opened } from './instance.js'

const MASTER = 'primary'
/** Longer than a failover takes. */
const DEADLINE = 30_000

/** Starts a Sentinel that watches one master by itself. */
async function startSentinel(opened: Opened, master: number): Promise<{ port: number; client: Redis }> {
	const port = await freePort()
	const dir = opened.add(mkdtempSync(join(tmpdir(), 'evstream-sentinel-')), (path) =>
		rmSync(path, { recursive: true, force: true }),
	)
	const file = join(dir, 'sentinel.conf')
	writeFileSync(
		file,
		[
			`port ${port}`,
			'bind 127.0.0.1',
			`dir ${dir}`,
			'logfile sentinel.log',
			`sentinel monitor ${MASTER} 127.0.0.1 ${master} 1`,
			`sentinel down-after-milliseconds ${MASTER} 500`,
			`sentinel failover-timeout ${MASTER} 3000`,
			'',
		].join('\n'),
	)
	const child = spawn(findRedisBinary() ?? 'redis-server', [file, '--sentinel'], { stdio: 'ignore' })
	opened.add(child, async () => {
		if (child.exitCode !== null || child.signalCode !== null) return
		const exited = once(child, 'exit')
		child.kill('SIGKILL')
		await exited
	})
	const client = opened.add(new Redis({ port, retryStrategy: () => 50 }), (one) => one.disconnect())
	client.on('error', () => {})
	await until(async () => (await client.ping()) === 'PONG', { what: 'the Sentinel' })
	return { port, client }
}

/** A field of `INFO replication`. */
async function replication(client: Redis, field: string): Promise<string | undefined> {
	return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(await client.info('replication'))?.[1]
}

async function startPair(opened: Opened) {
	const master = opened.add(await startRedis(), (one) => one.stop())
	const link = opened.add(await startTcpProxy(master), (one) => one.close())
	const replica = opened.add(
		await startRedis({ args: ['--replicaof', `127.0.0.1 ${link.port}`, '--repl-diskless-sync-delay', '0'] }),
		(one) => one.stop(),
	)
	const toMaster = opened.add(new Redis(master.url), (one) => one.disconnect())
	toMaster.on('error', () => {})
	const toReplica = opened.add(new Redis(replica.url), (one) => one.disconnect())
	await until(async () => (await replication(toReplica, 'master_link_status')) === 'up', {
		timeout: 10_000,
		what: 'the replica',
	})
	const sentinel = await startSentinel(opened, master.port)
	await until(async () => Array.isArray(await firstReplica(sentinel.client)), {
		timeout: 15_000,
		what: 'the Sentinel to know the replica',
	})
	return { master, link, toMaster, toReplica, sentinel }
}

async function firstReplica(client: Redis): Promise<unknown> {
	const replicas: unknown = await client.call('SENTINEL', 'REPLICAS', MASTER)
	return Array.isArray(replicas) ? replicas[0] : undefined
}

function texts(client: SseClient): string[] {
	return client.events.filter(({ event }) => event === 'n').map(({ data }) => data)
}

describe.skipIf(redisLacks('control', 'Sentinel'))('EvRedisAdapter behind a Sentinel', () => {
	const opened = new Opened()
	afterEach(() => opened.close())

	async function instance(sentinel: number, namespace: string) {
		const adapter = opened.add(
			new EvRedisAdapter(
				{ sentinels: [{ host: '127.0.0.1', port: sentinel }], name: MASTER },
				{ namespace, deadline: DEADLINE, onError: () => {} },
			),
			(one) => one.close(),
		)
		const manager = opened.add(
			new EvStreamManager({
				adapter,
				history: { size: 1000, ttl: 60_000 },
				keepAlive: false,
				onError: () => {},
			}),
			(one) => one.close(),
		)
		const server = opened.add(
			await listenHttp((req, res) => manager.createStream(req, res).listen('a')),
			(one) => one.close(),
		)
		const listen = async (lastEventId?: string): Promise<SseClient> => {
			const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
			const client = opened.add(await openSse(server.url, { headers }), (one) => one.close())
			await until(() => client.events.some(({ id }) => id !== undefined), { what: 'a position' })
			return client
		}
		const send = async (prefix: string, count: number): Promise<string | undefined> => {
			const ids = await Promise.all(
				Array.from({ length: count }, (_, index) =>
					manager.send('a', { event: 'n', data: `${prefix}${index + 1}` }),
				),
			)
			return ids.at(-1)
		}
		return { manager, adapter, listen, send }
	}

	it('goes on after a failover that loses the last writes; only positions of lost messages are reset', async () => {
		const { master, link, toMaster, toReplica, sentinel } = await startPair(opened)
		const namespace = randomUUID()
		const one = await instance(sentinel.port, namespace)
		const two = await instance(sentinel.port, namespace)
		const live = await two.listen()

		const known = await one.send('kept', 5)
		await until(
			async () =>
				(await replication(toMaster, 'master_repl_offset')) ===
				(await replication(toReplica, 'slave_repl_offset')),
			{ what: 'the replica to have everything' },
		)
		link.blackhole(true)
		const lost = await one.send('lost', 5)
		await until(() => texts(live).length === 10)
		expect(await toReplica.xlen(`{${namespace}}:channel:a`)).toBe(5)

		await master.kill()
		// Sent while there is no master: it waits.
		const during = one.send('after', 1)
		await until(async () => (await replication(toReplica, 'role')) === 'master', {
			timeout: 20_000,
			what: 'the failover',
		})
		await during
		await one.send('more', 9)
		const sent = ['after1', ...Array.from({ length: 9 }, (_, index) => `more${index + 1}`)]
		await until(() => texts(live).length === 20, { timeout: 15_000, what: 'the live client to go on' })
		expect(texts(live).slice(10)).toEqual(sent)
		expect(live.events.some(({ event }) => event === 'reset')).toBe(false)

		for (const { listen } of [one, two]) {
			const resumed = await listen(known)
			await until(() => texts(resumed).length === sent.length)
			expect(texts(resumed)).toEqual(sent)
			expect(resumed.events.some(({ event }) => event === 'reset')).toBe(false)

			// The new master has messages of these numbers, but others.
			const reset = await listen(lost)
			expect(await reset.next('reset')).toMatchObject({ data: '{"reason":"epoch"}' })
			expect(texts(reset)).toEqual([])

			// Positions that live clients got after the failover are known.
			const last = await listen(live.events.findLast(({ id }) => id !== undefined)?.id)
			const mark = randomUUID()
			await one.send(mark, 1)
			for (const client of [resumed, reset, last]) {
				await until(() => texts(client).includes(`${mark}1`))
			}
			expect(texts(reset)).toEqual([`${mark}1`])
			expect(texts(last)).toEqual([`${mark}1`])
			sent.push(`${mark}1`)
			await until(() => texts(live).at(-1) === `${mark}1`)
			for (const client of [resumed, reset, last]) client.close()
		}
		expect(one.adapter.healthy).toBe(true)
		expect(two.adapter.healthy).toBe(true)
	}, 90_000)
})

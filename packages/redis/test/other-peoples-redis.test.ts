import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { EvStreamManager } from '@evstream/core'
import { redisLacks, startRedis, type TestRedis, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { EvRedisAdapter } from '../src/index.js'
import { Instance, Opened } from './instance.js'
import { dataOf, startInstance } from './support/log-instances.js'

const noCommands = redisLacks('commands', 'databases of other people')
const noControl = redisLacks('control', 'ACL rules, and a Redis that is full')

let redis: TestRedis
let direct: Redis
const opened = new Opened()

beforeAll(async () => {
	redis = await startRedis()
	direct = new Redis(redis.url)
})
afterEach(() => opened.close())
afterAll(async () => {
	direct.disconnect()
	await redis.stop()
})

/** The rule of the README, for another namespace. */
async function documentedRules(namespace: string): Promise<string[]> {
	const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
	const [line = ''] = /ACL SETUSER app .*/.exec(readme) ?? []
	return line.replaceAll('{evstream}', `{${namespace}}`).split(' ').slice(3)
}

describe.skipIf(noCommands)('two apps on two databases of one Redis', () => {
	it('share no state and no channel, with the same namespace', async () => {
		const namespace = randomUUID()
		const [production, staging, other] = [0, 1, 1].map(
			(db) => new Instance(opened, { host: redis.host, port: redis.port, db }, { namespace }),
		)
		const [onProduction, onStaging] = [
			production?.state('banner', 'production'),
			staging?.state('banner', 'staging'),
		]
		await Promise.all([onProduction?.ready, onStaging?.ready])
		const client = await production?.client('banner')
		const onOther = other?.state('banner', 'x')
		await onStaging?.set(() => 'changed')
		await until(() => onOther?.get() === 'changed')
		const heard = await (await startInstance(redis, { namespace })).listen(['news'])
		const [sender, own] = [
			await startInstance(redis, { namespace, redis: { db: 1 } }),
			await startInstance(redis, { namespace }),
		]
		await sender.manager.send('news', { data: 'staging' })
		await own.manager.send('news', { data: 'production' })
		await heard.next(({ data }) => data === 'production')
		expect(dataOf(heard)).toEqual(['production'])
		expect(onProduction?.get()).toBe('production')
		expect(await direct.hget(`{${namespace}}:state:banner`, 'd')).toBe('"production"')
		// What was published before has arrived with what is published after it.
		await onProduction?.set(() => 'again')
		await client?.next(({ data }) => data.includes('again'))
		expect(client?.events.some(({ data }) => data.includes('changed'))).toBe(false)
		expect([...(production?.errors ?? []), ...(staging?.errors ?? [])]).toEqual([])
	})
})

describe('a client that was passed in', () => {
	it('may have stringNumbers', async () => {
		const client = new Redis(redis.url, { stringNumbers: true })
		opened.add(client, () => client.disconnect())
		const namespace = randomUUID()
		const one = new Instance(opened, client, { namespace })
		const two = new Instance(
			opened,
			{ host: redis.host, port: redis.port, stringNumbers: true },
			{ namespace },
		)
		const [onOne, onTwo] = [one.states<{ n: number }>(), two.states<{ n: number }>()]
		for (let n = 0; n < 3; n++) await onOne.createState('n', 0).set((value) => value + 1)
		await until(() => onTwo.getState('n')?.get() === 3)
		await onTwo.getState('n')?.set((value) => value + 1)
		await until(() => onOne.getState('n')?.get() === 4)
		const channels = await startInstance(redis, { namespace, redis: client })
		const first = await channels.manager.send('news', { data: '1' })
		await channels.manager.send('news', { data: '2' })
		const heard = await channels.listen(['news'], first)
		await channels.manager.send('news', { data: '3' })
		await heard.next(({ data }) => data === '3')
		expect(dataOf(heard)).toEqual(['2', '3'])
		expect([...one.errors, ...two.errors, ...channels.errors]).toEqual([])
	})
})

describe('an adapter', () => {
	it('carries more than ten managers without a warning', async () => {
		const warned = vi.fn()
		process.on('warning', warned)
		onTestFinished(() => void process.off('warning', warned))
		const adapter = new EvRedisAdapter(redis.url, { namespace: randomUUID() })
		opened.add(adapter, () => adapter.close())
		const managers = Array.from({ length: 15 }, () => new EvStreamManager({ adapter }))
		await Promise.all(managers.map((manager) => manager.send('a', { data: '1' })))
		await Promise.all(managers.map((manager) => manager.close({ drainMs: 0 })))
		await new Promise((resolve) => setImmediate(resolve))
		expect(warned).not.toHaveBeenCalled()
	})

	it('that was closed refuses messages and states at once with EV_CLOSED', async () => {
		const one = new Instance(opened, redis.url, { namespace: randomUUID() })
		const state = one.state('n', 0)
		await state.ready
		const manager = new EvStreamManager({ adapter: one.adapter, onError: () => {} })
		opened.add(manager, () => manager.close({ drainMs: 0 }))
		await manager.send('a', { data: '1' })
		const since = performance.now()
		const closing = one.adapter.close()
		const closed = { code: 'EV_CLOSED' }
		await expect(manager.send('a', { data: '2' })).rejects.toMatchObject(closed)
		await expect(state.set(() => 1)).rejects.toMatchObject(closed)
		await closing
		expect(performance.now() - since).toBeLessThan(2_000)
	})

	it('refuses names that UTF-8 cannot carry', async () => {
		const one = new Instance(opened, redis.url, { namespace: randomUUID() })
		await expect(async () => one.manager.send('a\ud800', { data: '1' })).rejects.toThrow(
			'half of a surrogate pair',
		)
		expect(() => one.state('\udc00', 0)).toThrow(TypeError)
		expect(() => one.state('😀', 0)).not.toThrow()
	})
})

describe.skipIf(noControl)('a user who may do no more than the documentation says', () => {
	it('has states and channels on two instances, with history, and nothing to report', async () => {
		const namespace = randomUUID()
		await direct.call('ACL', 'SETUSER', 'app', 'reset', ...(await documentedRules(namespace)))
		const source = { host: redis.host, port: redis.port, username: 'app', password: 'secret', db: 1 }
		const [a, b] = [new Instance(opened, source, { namespace }), new Instance(opened, source, { namespace })]
		const [onA, onB] = [a.states<{ n: number }>(), b.states<{ n: number }>()]
		await onA.createState('n', 0).set((value) => value + 1)
		await until(() => onB.getState('n')?.get() === 1)
		onB.removeState('n')
		await until(() => !onA.hasState('n'))
		const [one, two] = [
			await startInstance(redis, { namespace, redis: { username: 'app', password: 'secret', db: 1 } }),
			await startInstance(redis, {
				namespace,
				redis: { username: 'app', password: 'secret', db: 1 },
				history: undefined,
			}),
		]
		const first = await one.manager.send('news', { data: '1' })
		const heard = await one.listen(['news'], first)
		await two.manager.send('news', { data: '2' })
		await heard.next(({ data }) => data === '2')
		// A hole is repaired: that takes another script.
		one.proxy.cut()
		await until(() => !one.adapter.healthy)
		await two.manager.send('news', { data: '3' })
		await heard.next(({ data }) => data === '3')
		await until(() => one.adapter.healthy && two.adapter.healthy)
		expect(dataOf(heard)).toEqual(['2', '3'])
		expect([...one.errors, ...two.errors].filter((error) => String(error).includes('NOPERM'))).toEqual([])
		await until(() => a.adapter.healthy && b.adapter.healthy)
		expect([...a.errors, ...b.errors]).toEqual([])
		expect(await direct.exists(`{${namespace}}:log`)).toBe(0)
	})

	it('is given every command that the scripts call', async () => {
		const given = new Set((await documentedRules('x')).map((rule) => rule.replace(/^\+/, '')))
		const folder = new URL('../src/', import.meta.url)
		const sources = await Promise.all(
			(await readdir(folder)).map((file) => readFile(new URL(file, folder), 'utf8')),
		)
		const called = sources.flatMap((source) => [...source.matchAll(/redis\.p?call\('(\w+)'/g)])
		const commands = new Set(called.map(([, command = '']) => command.toLowerCase()))
		expect(commands.size).toBeGreaterThan(10)
		expect([...commands].filter((command) => !given.has(command))).toEqual([])
	})
})

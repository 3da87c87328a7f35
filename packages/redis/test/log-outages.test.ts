import { randomUUID } from 'node:crypto'
import { redisLacks, startRedis, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { describe, expect, it, onTestFinished } from 'vitest'
import { dataOf, type Instance, lookInto, startInstance, useRedis } from './support/log-instances.js'
import { copyKeys, restoreKeys } from './support/older-copy.js'

const noKill = redisLacks('commands', 'CLIENT KILL TYPE')
const noAcl = redisLacks('commands', 'ACL SETUSER')
const noCopies = redisLacks('commands', 'DUMP and RESTORE')
const noRestart = redisLacks('control', 'a Redis that was restarted')

const redis = useRedis()

async function pair(options: Parameters<typeof startInstance>[1] = {}) {
	const namespace = randomUUID()
	const sender = await startInstance(redis(), { namespace, ...options })
	const receiver = await startInstance(redis(), { namespace, ...options })
	const client = await receiver.listen(['x'])
	return { namespace, sender, receiver, client }
}

describe('a lost connection', () => {
	it('in the middle of publishing neither loses nor doubles a message', async () => {
		const { sender, client } = await pair()
		const sends: Promise<unknown>[] = []
		for (let n = 0; n < 600; n++) {
			sends.push(sender.manager.send('x', { data: `${n}` }))
			if (n % 150 === 75) {
				await new Promise((resolve) => setImmediate(resolve))
				sender.proxy.cut()
			}
		}
		await Promise.all(sends)
		await until(() => dataOf(client).length >= 600)
		expect(dataOf(client)).toEqual(Array.from({ length: 600 }, (_, n) => `${n}`))
	})

	it('of the subscriber is repaired from the log: all messages, once, in order', async () => {
		const { sender, receiver, client } = await pair()
		await sender.manager.send('x', { data: '0' })
		await client.next(({ data }) => data === '0')
		receiver.proxy.refuse(true)
		receiver.proxy.cut()
		for (let n = 1; n <= 50; n++) await sender.manager.send('x', { data: `${n}` })
		receiver.proxy.refuse(false)
		await sender.manager.send('x', { data: '51' })
		await until(() => dataOf(client).length === 52)
		expect(dataOf(client)).toEqual(Array.from({ length: 52 }, (_, n) => `${n}`))
		expect(receiver.manager.stats().resets).toBe(0)
	})

	it('longer than the history tells the clients with one reset', async () => {
		const { sender, receiver, client } = await pair({ history: { size: 5 } })
		receiver.proxy.refuse(true)
		receiver.proxy.cut()
		let id: string | undefined
		for (let n = 0; n < 20; n++) id = await sender.manager.send('x', { data: `${n}` })
		receiver.proxy.refuse(false)
		const reset = await client.next('reset')
		// The instance says so, or the log, if the stream asked it first.
		expect(reset).toEqual({
			event: 'reset',
			id,
			data: expect.stringMatching(/^\{"reason":"(gap|trimmed)"\}$/),
		})
		await sender.manager.send('x', { data: 'after' })
		await client.next(({ data }) => data === 'after')
		expect(dataOf(client)).toEqual([reset.data, 'after'])
	})

	it('that only looks alive is replaced, and what was missed arrives', async () => {
		const { sender, receiver, client } = await pair()
		await until(() => receiver.adapter.healthy)
		receiver.proxy.freeze()
		await sender.manager.send('x', { data: 'missed' })
		await until(() => dataOf(client).includes('missed'), { timeout: 10_000 })
		await until(() => receiver.adapter.healthy)
		expect(Number(receiver.manager.stats().adapter?.reconnects)).toBeGreaterThan(0)
	})
})

describe('Redis out of reach', () => {
	it('lets messages wait, and then they arrive everywhere in the order in which they were sent', async () => {
		const { sender, receiver, client } = await pair()
		const own = await sender.listen(['x'])
		sender.proxy.refuse(true)
		sender.proxy.cut()
		await until(() => !sender.adapter.healthy)
		const sends = ['1', '2', '3'].map((data) => sender.manager.send('x', { data }))
		expect(dataOf(own)).toEqual([])
		sender.proxy.refuse(false)
		await Promise.all(sends)
		await until(() => dataOf(client).length === 3 && dataOf(own).length === 3)
		expect(dataOf(client)).toEqual(['1', '2', '3'])
		expect(dataOf(own)).toEqual(['1', '2', '3'])
		expect(receiver.errors).toEqual([])
	})

	it('rejects at the deadline, and delivers to nobody, not even here', async () => {
		const { sender, client } = await pair({ deadline: 300 })
		const own = await sender.listen(['x'])
		sender.proxy.refuse(true)
		sender.proxy.cut()
		await until(() => !sender.adapter.healthy)
		const outcome = await sender.manager.send('x', { data: 'lost' }).catch((error: unknown) => error)
		expect(outcome).toMatchObject({ code: 'EV_UNAVAILABLE' })
		sender.proxy.refuse(false)
		await until(() => sender.adapter.healthy)
		await sender.manager.send('x', { data: 'after' })
		await client.next(({ data }) => data === 'after')
		await own.next(({ data }) => data === 'after')
		expect(dataOf(client)).toEqual(['after'])
		expect(dataOf(own)).toEqual(['after'])
	})

	it('at the start does not stop the process: everything begins when Redis appears', async () => {
		const namespace = randomUUID()
		const late = await startInstance(redis(), { namespace, redis: { lazyConnect: false } })
		late.proxy.refuse(true)
		late.proxy.cut()
		const client = late.listen(['x'])
		const sent = late.manager.send('x', { data: '1' })
		late.proxy.refuse(false)
		await sent
		expect((await client).events[0]?.event).toBe('position')
	})

	it.skipIf(noKill)(
		'is told by nothing but rejections and onError when scripts are flushed and subscribers are killed',
		async () => {
			const { sender, client } = await pair()
			const look = lookInto(redis())
			for (let n = 0; n < 5; n++) {
				await look.script('FLUSH')
				await look.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
				await sender.manager.send('x', { data: `${n}` })
			}
			await until(() => dataOf(client).length === 5)
			expect(dataOf(client)).toEqual(['0', '1', '2', '3', '4'])
		},
	)
})

describe('garbage in Redis', () => {
	it('that is published is reported and skipped', async () => {
		const { namespace, sender, receiver, client } = await pair()
		const look = lookInto(redis())
		const topic = `{${namespace}}:0:channel:x`
		for (const text of ['', 'x', 'a b c d e\nf', 'ep 1 0 999 \ndata', '{"json":1}', '\n\n\n'])
			await look.publish(topic, text)
		await sender.manager.send('x', { data: 'fine' })
		await client.next(({ data }) => data === 'fine')
		expect(dataOf(client)).toEqual(['fine'])
		expect(receiver.errors.length).toBeGreaterThan(0)
	})

	it('under a key makes sending reject, and nothing crashes', async () => {
		const namespace = randomUUID()
		const look = lookInto(redis())
		const { manager } = await startInstance(redis(), { namespace })
		await look.set(`{${namespace}}:channel:x`, 'not a stream')
		// The channel is new to the log, which makes place for it.
		expect(await manager.send('x', { data: '1' })).toMatch(/-1$/)
		await look.set(`{${namespace}}:log`, 'not a hash')
		await expect(manager.send('x', { data: '2' })).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
	})
})

describe.skipIf(noRestart)('a Redis that was restarted', () => {
	it('empty: live clients are told and go on, old positions are reset', async () => {
		const own = await startRedis()
		onTestFinished(() => own.stop())
		const namespace = randomUUID()
		const one = await startInstance(own, { namespace })
		const client = await one.listen(['x'])
		const old = await one.manager.send('x', { data: 'old' })
		await client.next(({ data }) => data === 'old')
		await own.restart()
		await until(() => one.adapter.healthy, { timeout: 15_000 })
		await one.manager.send('x', { data: 'new' })
		await client.next(({ data }) => data === 'new')
		expect(dataOf(client)).toEqual(['old', '{"reason":"epoch"}', 'new'])
		const again = await one.listen(['x'], old)
		await until(() => again.events.length > 0)
		expect(again.events[0]).toMatchObject({ event: 'reset', data: '{"reason":"epoch"}' })
	})

	it('with its data: known positions resume, live clients miss nothing', async () => {
		const own = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
		onTestFinished(() => own.stop())
		const namespace = randomUUID()
		const one = await startInstance(own, { namespace })
		const client = await one.listen(['x'])
		const old = await one.manager.send('x', { data: '1' })
		await one.manager.send('x', { data: '2' })
		await client.next(({ data }) => data === '2')
		await own.restart({ keepData: true })
		await until(() => one.adapter.healthy, { timeout: 15_000 })
		await one.manager.send('x', { data: '3' })
		await client.next(({ data }) => data === '3')
		expect(dataOf(client)).toEqual(['1', '2', '3'])
		const again = await one.listen(['x'], old)
		await until(() => dataOf(again).length === 2)
		expect(dataOf(again)).toEqual(['2', '3'])
	})
})

describe.skipIf(noAcl)('a user limited to the namespace', () => {
	it('can do all that channels need', async () => {
		const namespace = randomUUID()
		const look = lookInto(redis())
		const acl = [
			'on',
			'>secret',
			'resetkeys',
			'resetchannels',
			`~{${namespace}}:*`,
			`&{${namespace}}:*`,
			'-@all',
		]
		const commands = ['+@connection', '+@scripting', '+info', '+subscribe', '+unsubscribe', '+publish']
		const data = [
			'+hmget',
			'+hget',
			'+hset',
			'+hdel',
			'+hgetall',
			'+hscan',
			'+del',
			'+exists',
			'+pexpire',
			'+pttl',
			'+xadd',
			'+xtrim',
			'+xrange',
			'+xrevrange',
			'+zadd',
			'+zscore',
			'+zcount',
			'+zremrangebyrank',
			'+time',
		]
		await look.acl('SETUSER', `user-${namespace}`, ...acl, ...commands, ...data)
		const options = { namespace, redis: { username: `user-${namespace}`, password: 'secret' } }
		const one = await startInstance(redis(), options)
		const client = await one.listen(['x'])
		const first = await one.manager.send('x', { data: '1' })
		await one.manager.send('x', { data: '2' })
		const again = await one.listen(['x'], first)
		await until(() => dataOf(again).length === 1 && dataOf(client).length === 2)
		expect(one.errors).toEqual([])
	})
})

describe('an existing client', () => {
	it('is used and not closed', async () => {
		const client = new Redis({ host: redis().host, port: redis().port })
		onTestFinished(() => client.disconnect())
		const { EvRedisAdapter } = await import('../src/index.js')
		const { EvStreamManager } = await import('@evstream/core')
		const adapter = new EvRedisAdapter(client, { namespace: randomUUID() })
		const manager = new EvStreamManager({ adapter, history: { size: 10 } })
		expect(await manager.send('x', { data: '1' })).toMatch(/-1$/)
		await manager.close()
		await adapter.close()
		expect(await client.ping()).toBe('PONG')
	})
})

describe.skipIf(noCopies)('data of an earlier time, restored in place', () => {
	it('lose no message for those who listen, also if a new instance is the first to send', async () => {
		const namespace = randomUUID()
		const receiver = await startInstance(redis(), { namespace })
		const client = await receiver.listen(['x'])
		const send = (instance: Instance, data: string) => instance.manager.send('x', { data })
		for (let n = 0; n < 5; n++) await send(receiver, `kept ${n}`)
		const look = lookInto(redis())
		const copy = await copyKeys(look, `{${namespace}}:*`)
		for (let n = 0; n < 20; n++) await send(receiver, `lost ${n}`)
		await client.next(({ data }) => data === 'lost 19')
		await restoreKeys(look, `{${namespace}}:*`, copy)
		const newcomer = await startInstance(redis(), { namespace })
		for (let n = 0; n < 10; n++) await send(newcomer, `new ${n}`)
		await client.next(({ data }) => data === 'new 9')
		const heard = dataOf(client).filter((data) => data.startsWith('new'))
		expect(heard).toEqual(Array.from({ length: 10 }, (_, n) => `new ${n}`))
		expect(receiver.manager.stats().resets).toBe(0)
	})
})

import { randomUUID } from 'node:crypto'
import { redisLacks, startRedis, until } from '@evstream/testkit'
import { Redis, type RedisOptions } from 'ioredis'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EvRedisAdapter } from '../src/index.js'
import { KEEP } from '../src/keep-script.js'
import { RedisNames } from '../src/keys.js'
import { PUBLISH } from '../src/publish-script.js'
import { READ } from '../src/read-script.js'
import { defineScripts, runScript } from '../src/script.js'
import { dataOf, lookInto, startInstance, useRedis } from './support/log-instances.js'

const redis = useRedis()
const noControl = redisLacks('control', 'a Redis that is full, or limits its users')
const DAY = 86_400_000

interface Batch {
	number?: number
	after?: number
	notAfter?: number
	channel?: string
	payloads?: readonly string[]
	size?: number | ''
	ttl?: number | ''
	maxBytes?: number | ''
	known?: [string, number]
	check?: number
}

/** The scripts that write, on a log of their own. */
function setUp(client: Redis = lookInto(redis())) {
	defineScripts(client, [PUBLISH, KEEP, READ])
	const names = new RedisNames(randomUUID(), '')
	const keys = [names.log, names.channels, names.instances, names.retention]
	let number = 0
	const publish = async (batch: Batch = {}): Promise<string> => {
		const { after = 0, notAfter = 1e15, channel = 'x', payloads = ['p'], known = ['', 0], check = 0 } = batch
		const { size = 1_000, ttl = 60_000, maxBytes = 0 } = batch
		number = batch.number ?? number + 1
		const head = [...known, check, randomUUID().slice(0, 8), 3 * DAY, 'me', number, after, notAfter, 1]
		const topic = names.messageChannel(channel)
		const messages = payloads.flatMap((payload) => [1, `${payload.length} 0`, '', payload])
		const args = [...head, channel, topic, size, ttl, maxBytes, ...messages]
		const reply = await runScript(client, PUBLISH, [...keys, names.channel(channel)], args).catch(
			(error: Error) => error.message,
		)
		return String(reply)
	}
	const keep = (lowest: number | '' = '', retention: readonly string[] = [], instance = 'i') =>
		runScript(client, KEEP, keys, ['', 0, 0, 'begun', 3 * DAY, instance, lowest, ...retention])
	return { client, names, publish, keep }
}

/** A log of an instance, without a manager. */
function openLog(source: RedisOptions, namespace: string = randomUUID()) {
	const errors: unknown[] = []
	const adapter = new EvRedisAdapter(source, { namespace, onError: () => {} })
	const log = adapter.openLog(
		{ deliver() {}, reset() {}, direct() {}, error: (error) => errors.push(error) },
		{ instance: 'i-', resumable: true, retention: () => ({ size: 10, ttl: 60_000 }) },
	)
	onTestFinished(async () => {
		await log.close()
		await adapter.close()
	})
	return {
		errors,
		append: () => Promise.resolve(log.append('x', 'data:1\n\n')),
		subscribe: () => Promise.resolve(log.subscribe('x')),
	}
}

describe('a batch', () => {
	it('that comes after its time publishes nothing, and tells the time', async () => {
		const { client, names, publish } = setUp()
		const now = Number((await publish()).split(' ')[2])
		expect(Math.abs(now - Date.now())).toBeLessThan(60_000)
		const late = await publish({ notAfter: now - 1 })
		expect(Number(/EVLATE (\d+)/.exec(late)?.[1])).toBeGreaterThanOrEqual(now)
		expect(await client.xlen(names.channel('x'))).toBe(1)
		// The number is free: within its time it is published.
		expect(await publish({ number: 2 })).toMatch(/ 2 \d+$/)
	})

	it('is not applied before the one that it follows', async () => {
		const { publish } = setUp()
		await publish({ number: 1 })
		expect(await publish({ number: 3, after: 2 })).toContain('EVORDER')
		expect(await publish({ number: 2, after: 1 })).toMatch(/ 2 \d+$/)
		expect(await publish({ number: 3, after: 2 })).toMatch(/ 3 \d+$/)
	})

	it('that was left out is never applied once a later one was', async () => {
		const { client, names, publish } = setUp()
		await publish({ number: 1 })
		await publish({ number: 3 })
		expect(await publish({ number: 2 })).toContain('EVLATE')
		for (let number = 4; number <= 17; number++) await publish({ number })
		// The log knows the last sixteen, however long ago they were.
		expect(await publish({ number: 3 })).toMatch(/ 2 \d+$/)
		await publish({ number: 19 })
		expect(await publish({ number: 3 })).toMatch(/EVLATE/)
		expect(await client.xlen(names.channel('x'))).toBe(17)
	})

	it('that was refused at its deadline is not published later, whoever sends it again', async () => {
		const namespace = randomUUID()
		const receiver = await startInstance(redis(), { namespace })
		const client = await receiver.listen(['x'])
		const sender = await startInstance(redis(), { namespace, deadline: 300 })
		await sender.manager.send('x', { data: 'first' })
		sender.proxy.blackhole(true)
		const refused = sender.manager.send('x', { data: 'late' })
		await expect(refused).rejects.toThrow('may have been published')
		// What was held back reaches Redis now.
		sender.proxy.blackhole(false)
		await until(async () => {
			const sent = sender.manager.send('x', { data: 'next' })
			return sent.then(
				() => true,
				() => false,
			)
		})
		await client.next(({ data }) => data === 'next')
		expect(dataOf(client)).not.toContain('late')
	})
})

describe('what is kept', () => {
	it('of a channel in bytes has a bound, and a larger message empties it', async () => {
		const { client, names, publish } = setUp()
		const maxBytes = 64 * 1_024
		const kept = async (): Promise<number> => {
			const entries = await client.xrange(names.channel('x'), '-', '+')
			return entries.reduce((sum, [, fields]) => sum + (fields[3]?.length ?? 0) + 200, 0)
		}
		for (let n = 0; n < 60; n++) {
			await publish({ maxBytes, payloads: Array.from({ length: 5 }, () => 'x'.repeat(100 + 37 * n)) })
			expect(await kept()).toBeLessThanOrEqual(maxBytes)
		}
		expect(await kept()).toBeGreaterThan(maxBytes / 2)
		await publish({ maxBytes, payloads: ['x'.repeat(maxBytes)] })
		expect(await kept()).toBe(0)
		await publish({ maxBytes })
		expect(await kept()).toBe(201)
	})

	it('is not cut by a sender without history', async () => {
		const namespace = randomUUID()
		const keeper = await startInstance(redis(), { namespace, history: { size: 3_000, ttl: DAY } })
		const look = lookInto(redis())
		const first = await keeper.manager.send('x', { data: 'first' })
		await until(async () => (await look.hget(`{${namespace}}:retention`, '')) !== null)
		const sender = await startInstance(redis(), { namespace, history: undefined })
		// In parts, as the embedded server takes a while for each.
		for (let part = 0; part < 6; part++) {
			await Promise.all(
				Array.from({ length: 200 }, (_, n) => sender.manager.send('x', { data: `${200 * part + n}` })),
			)
		}
		expect(await look.xlen(`{${namespace}}:channel:x`)).toBe(1_201)
		expect(await look.pttl(`{${namespace}}:channel:x`)).toBeGreaterThan(DAY)
		const client = await keeper.listen(['x'], first)
		await client.next(({ data }) => data === '1199')
		expect(dataOf(client)).toHaveLength(1_200)
	})
})

describe('a sender without history', () => {
	const silent = { size: '', ttl: '', maxBytes: '' } as const
	const many = Array.from({ length: 1_100 }, () => 'p')

	it('cuts no channel of which another sender said what is kept, whatever managers told', async () => {
		for (const told of [[], ['', '10 60000 0']]) {
			const { client, names, publish, keep } = setUp()
			await publish({ payloads: many, size: 3_000, ttl: DAY })
			await keep('', told)
			await publish({ ...silent })
			await publish({ ...silent })
			expect(await client.xlen(names.channel('x'))).toBe(1_102)
			expect(await client.pttl(names.channel('x'))).toBeGreaterThan(DAY)
		}
	})

	it('cuts nothing when what managers told was lost, and follows them as soon as they tell again', async () => {
		const { client, names, publish, keep } = setUp()
		await keep('', ['', '3000 86400000 0'])
		await publish({ ...silent, payloads: many })
		await client.set(names.retention, 'spoilt')
		await publish({ ...silent })
		expect(await client.xlen(names.channel('x'))).toBe(1_101)
		await keep('', ['', '10 60000 0', 'x', '20 60000 0'])
		await publish({ ...silent })
		expect(await client.xlen(names.channel('x'))).toBe(20)
	})

	it('keeps of a new channel what repairs need, and cuts no stream that does not say what is kept', async () => {
		const { client, names, publish } = setUp()
		await publish({ ...silent, payloads: many })
		await publish({ ...silent })
		expect(await client.xlen(names.channel('x'))).toBe(1_000)
		for (let n = 1; n <= 1_001; n++)
			await client.xadd(names.channel('y'), `${n}-1`, 'v', '0', 'p', 'p', 'x', '')
		await client.zadd(names.channels, 1_001, 'y')
		await publish({ ...silent, channel: 'y' })
		expect(await client.xlen(names.channel('y'))).toBe(1_002)
	})
})

describe('a key of another type', () => {
	it('for instances and retention costs no message, and begins again', async () => {
		const { client, names, publish, keep } = setUp()
		await publish()
		await client.mset(names.instances, 'spoilt', names.retention, 'spoilt')
		await client.hset(names.log, 'marked', '0', 'mark', '1')
		expect(await publish()).toMatch(/ 2 \d+$/)
		expect(await client.hget(names.log, 'floor')).toBe('0')
		await client.set(names.instances, 'spoilt')
		await client.hset(names.log, 'marked', '0')
		await keep(1, ['', '10 60000 0'])
		expect(await client.hget(names.instances, 'i')).toMatch(/^1 /)
		expect(await client.hgetall(names.retention)).toEqual({ '': '10 60000 0' })
		await client.set(names.instances, 'spoilt')
		await keep()
		expect(await publish()).toMatch(/ 3 \d+$/)
	})

	it('for the list of channels begins an epoch', async () => {
		for (const begin of ['publish', 'keep'] as const) {
			const { client, names, publish, keep } = setUp()
			const [epoch = ''] = (await publish()).split(' ')
			await client.set(names.channels, 'spoilt')
			if (begin === 'keep') await keep()
			const next = await publish()
			expect(next).toMatch(/ 2 \d+$/)
			expect(next).not.toContain(epoch)
			expect(await client.zrange(names.channels, '0', '-1')).toEqual(['x'])
		}
	})

	it('for the log is named', async () => {
		const { client, names, publish, keep } = setUp()
		await client.set(names.log, 'spoilt')
		expect(await publish()).toContain(names.log)
		await expect(keep()).rejects.toThrow(names.log)
	})
})

describe('metadata', () => {
	it('is not forgotten when all entries of instances are lost or stale at once', async () => {
		const { client, names, publish, keep } = setUp()
		await publish({ channel: 'quiet' })
		await keep(1)
		for (const lose of [
			() => client.del(names.instances),
			() => client.hset(names.instances, 'i', `1 ${Date.now() - 2 * 3_600_000}`),
			() => client.hset(names.instances, 'i', `1 ${Date.now() + 2 * 3_600_000}`),
		]) {
			await publish({ channel: 'busy' })
			await lose()
			await client.hset(names.log, 'marked', '0', 'checked', '0')
			await publish({ channel: 'busy' })
			expect(await client.hmget(names.log, 'floor', 'alone')).toEqual(['0', '1'])
			// The instance lives, and tells its position before the next mark.
			await keep(0)
			await client.hset(names.log, 'marked', '0', 'checked', '0')
			await publish({ channel: 'busy' })
			expect(await client.hmget(names.log, 'floor', 'alone')).toEqual(['0', '0'])
		}
	})

	it('is marked in time although the clock of the server was set back', async () => {
		const { client, names, publish } = setUp()
		await publish()
		const future = Date.now() + 400 * DAY
		await client.hset(names.log, 'marked', future, 'touched', future)
		await publish()
		for (const time of await client.hmget(names.log, 'marked', 'touched')) {
			expect(Math.abs(Number(time) - Date.now())).toBeLessThan(60_000)
		}
	})

	it('above a position that an instance uses is not forgotten, unless the instance is gone for an hour', async () => {
		const { client, names, publish, keep } = setUp()
		await publish({ channel: 'quiet' })
		await keep(1)
		const age = async (): Promise<void> => {
			await client.hset(names.log, 'marked', '0')
			await publish({ channel: 'busy' })
		}
		for (let day = 0; day < 5; day++) await age()
		expect(await client.hget(names.log, 'floor')).toBe('1')
		expect(await client.zrange(names.channels, '0', '-1')).toEqual(['busy'])
		await publish({ channel: 'other' })
		for (let day = 0; day < 5; day++) await age()
		expect(await client.zrange(names.channels, '0', '-1')).toEqual(['other', 'busy'])
		await client.hset(names.instances, 'i', `1 ${Date.now() - 2 * 3_600_000}`)
		for (let day = 0; day < 2; day++) await age()
		expect(await client.zrange(names.channels, '0', '-1')).toEqual(['busy'])
		expect(await client.exists(names.instances)).toBe(0)
	})

	it('of many channels goes in slices, and the log knows that they are gone', async () => {
		const { client, names, publish, keep } = setUp()
		await publish()
		const members = Array.from({ length: 2_500 }, (_, n) => [1, `c${n}`]).flat()
		await client.zadd(names.channels, ...members)
		await client.hset(names.log, 'marked', '0', 'mark', '1', 'alone', '1')
		await keep()
		expect(await client.zcard(names.channels)).toBe(1_501)
		await keep()
		await keep()
		expect(await client.zcard(names.channels)).toBe(0)
		// Nothing was lost: the epoch goes on.
		const [epoch] = (await publish({ number: 1 })).split(' ')
		expect((await publish({ number: 2 })).split(' ')[0]).toBe(epoch)
	})

	it('of producers who are gone is forgotten too', async () => {
		const { client, names, publish, keep } = setUp()
		await publish()
		await client.hset(names.log, 'p:gone', '3', 'p:gone:3', '3 epoch 1', 'marked', '0', 'mark', '1')
		await publish()
		await until(async () => {
			await keep()
			return (await client.hget(names.log, 'sweep')) === null
		})
		const fields = await client.hkeys(names.log)
		expect(fields.filter((field) => field.startsWith('p:')).sort()).toEqual(['p:me', 'p:me:1', 'p:me:2'])
	})
})

describe('a server that loaded older data in place', () => {
	it('is known by a head that went back: a new epoch begins where the data end', async () => {
		const { client, names, publish } = setUp()
		const [epoch = ''] = (await publish({ payloads: ['1', '2', '3'] })).split(' ')
		await client.hset(names.log, 'checked', '0')
		const next = await publish({ known: [epoch, 8] })
		expect(next).toMatch(/ 4 \d+$/)
		expect(next).not.toContain(epoch)
		expect(await client.hget(names.log, 'cuts')).toBe(`${epoch}:3;`)
	})

	it('with another replication id is another server', async () => {
		const { client, names, publish } = setUp()
		const [epoch = ''] = (await publish({ payloads: ['1', '2', '3'] })).split(' ')
		const run = String(await client.hget(names.log, 'run'))
		await client.hset(names.log, 'run', `${run.split('/')[0]}/other`)
		expect(await publish({ check: 1, known: [epoch, 2] })).not.toContain(epoch)
		// One that stands no higher than the log has seen nothing that the log lacks.
		expect(await client.hget(names.log, 'cuts')).toBe(`${epoch}:3;`)
	})

	it('and is behind what the caller knows is certain up to the last look of one that knew its epoch', async () => {
		const { client, names, publish, keep } = setUp()
		const [epoch = ''] = (await publish({ payloads: ['1', '2', '3'] })).split(' ')
		await publish({ known: [epoch, 3], check: 1, payloads: ['4', '5'] })
		expect(await client.hget(names.log, 'verified')).toBe('5')
		// Those that have just started cannot know that the data are older.
		await publish({ check: 1, payloads: ['6', '7'] })
		await keep()
		expect(await client.hmget(names.log, 'verified', 'seq')).toEqual(['5', '7'])
		await client.hset(names.log, 'checked', '0')
		expect(await publish({ known: [epoch, 9] })).not.toContain(epoch)
		expect(await client.hget(names.log, 'cuts')).toBe(`${epoch}:5;`)
	})
})

describe('a namespace with a log of another layout', () => {
	it('takes no message and gives none, and says so once', async () => {
		const namespace = randomUUID()
		await lookInto(redis()).hset(`{${namespace}}:log`, 'epoch', 'old', 'seq', '7')
		const { append, errors } = openLog({ host: redis().host, port: redis().port }, namespace)
		for (let n = 0; n < 3; n++) await expect(append()).rejects.toThrow(/Another version.*layout 1/)
		expect(errors).toHaveLength(1)
	})
})

describe.skipIf(noControl)('a Redis that', () => {
	it('does not let INFO be run takes no message, and says what is missing', async () => {
		const server = await startRedis({ args: [] })
		onTestFinished(() => server.stop())
		const look = new Redis(server.url)
		onTestFinished(() => look.disconnect())
		await look.acl('SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all', '-info')
		const { append, errors } = openLog({
			host: server.host,
			port: server.port,
			username: 'app',
			password: 'secret',
			enableReadyCheck: false,
		})
		for (let n = 0; n < 3; n++) await expect(append()).rejects.toThrow('+info')
		expect(errors).toHaveLength(1)
	})

	it('does not let a channel be published still takes the whole batch', async () => {
		const server = await startRedis({ args: [] })
		onTestFinished(() => server.stop())
		const look = new Redis(server.url)
		onTestFinished(() => look.disconnect())
		const { names, publish } = setUp(look)
		await look.acl('SETUSER', 'default', 'resetchannels')
		expect(await publish({ payloads: ['1', '2'] })).toMatch(/ 1 \d+$/)
		expect(await look.zscore(names.channels, 'x')).toBe('2')
		expect(await look.xlen(names.channel('x'))).toBe(2)
	})

	it('does not let the log be kept still takes messages, and says once what it refuses', async () => {
		const server = await startRedis({ args: [] })
		onTestFinished(() => server.stop())
		const look = new Redis(server.url)
		onTestFinished(() => look.disconnect())
		await look.acl('SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all', '-pexpire')
		const user = { username: 'app', password: 'secret' }
		const { append, subscribe, errors } = openLog({ host: server.host, port: server.port, ...user })
		expect(await append()).toMatchObject({ seq: 1 })
		await until(() => errors.length > 0)
		// The log is kept once more before the first channel is certain.
		await subscribe()
		expect(await append()).toMatchObject({ seq: 2 })
		expect(errors).toMatchObject([{ message: expect.stringContaining('Redis refused') }])
	})

	it('refuses only the second attempt leaves open whether the first one published', async () => {
		const server = await startRedis({ args: [] })
		onTestFinished(() => server.stop())
		const look = lookInto(server)
		const namespace = randomUUID()
		const { manager, proxy } = await startInstance(server, { namespace })
		await manager.send('x', { data: 'first' })
		// The answer takes long enough to be lost.
		proxy.delay(400)
		const outcome = expect(manager.send('x', { data: 'second' })).rejects.toThrow('may have been published')
		const stream = `{${namespace}}:channel:x`
		await until(async () => (await look.xlen(stream)) === 2)
		await look.acl('SETUSER', 'default', '-evalsha', '-eval')
		proxy.delay(0)
		proxy.cut()
		await outcome
		// What is refused at the first attempt was certainly not sent.
		await expect(manager.send('x', { data: 'third' })).rejects.toThrow('was not sent')
		await look.acl('SETUSER', 'default', '+evalsha', '+eval')
		expect(await look.xlen(stream)).toBe(2)
	})

	it('is full refuses known and new channels alike, whole, and can still be read and kept', async () => {
		const server = await startRedis({ args: [] })
		onTestFinished(() => server.stop())
		const look = new Redis(server.url)
		onTestFinished(() => look.disconnect())
		const { names, publish, keep } = setUp(look)
		await publish()
		await look.config('SET', 'maxmemory', '1')
		for (const channel of ['x', 'new']) expect(await publish({ channel })).toContain('OOM')
		await keep(1)
		expect(
			await runScript(look, READ, [names.log, names.channels], ['', 0, 0, 10, 10_000, '', 0, '']),
		).toHaveLength(4)
		await look.config('SET', 'maxmemory', '0')
		expect(await look.hget(names.log, 'seq')).toBe('1')
		expect(await look.xlen(names.channel('x'))).toBe(1)
		expect(await look.exists(names.channel('new'))).toBe(0)
	})
})

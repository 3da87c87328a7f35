import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { redisLacks, startRedis, type TestRedis, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { EvRedisAdapter } from '../src/index.js'
import { Instance, Opened, values } from './instance.js'

const noAcl = redisLacks('control', 'the documented ACL')

let redis: TestRedis
let direct: Redis
const opened = new Opened()
let namespace: string

beforeAll(async () => {
	redis = await startRedis()
	direct = new Redis(redis.url)
})

afterEach(() => opened.close())

afterAll(async () => {
	direct.disconnect()
	await redis.stop()
})

/** Instances of one namespace, which no other test uses. */
function instances<const N extends number>(count: N): Instance[] {
	namespace = randomUUID()
	return Array.from({ length: count }, () => new Instance(opened, redis.url, { namespace }))
}

describe('EvState on Redis', () => {
	it('shows every client of every instance only rising versions, and the last one', async () => {
		const all = instances(3)
		const states = all.map((one) => one.state('n', 0))
		const clients = await Promise.all(all.map((one) => one.client('n')))
		await Promise.all(
			states.map(async (state) => {
				for (let n = 0; n < 50; n++) await state.set((value) => value + 1)
			}),
		)
		await until(() => clients.every((client) => values(client).at(-1) === 150))
		for (const client of clients) {
			expect(values(client)).toEqual([...new Set(values(client))].sort((a, b) => a - b))
		}
		const late = await all[0]?.client('n')
		expect(late && (await late.next('n')).data).toBe('{"value":150}')
	})

	it('gives the stored value to an instance that starts later', async () => {
		const [a, b] = instances(2)
		await a?.state('n', { list: [1] }).set(({ list }) => ({ list: [...list, 2] }))
		const state = b?.state('n', { list: [9] })
		await state?.ready
		expect(state?.get()).toEqual({ list: [1, 2] })
		expect(state?.version).toBe(2)
	})

	it('reports garbage in messages and keys, and works again once it is gone', async () => {
		const [one] = instances(1)
		if (!one) throw new Error('no instance')
		const state = one.state('n', 1)
		await state.ready
		await until(() => one.adapter.stats().channels === 1 && one.adapter.healthy)
		const key = `{${namespace}}:state:n`
		const channel = `{${namespace}}:0:state:n`
		const garbage = [
			'',
			'x',
			'5',
			'5 a',
			'5 a {',
			'5 a b',
			'x y b 1',
			'5 a ü 1',
			'99999999999999999999 a b 1',
			'-1 a b 1',
			'1e3 a b 1',
		]
		for (const payload of garbage) await direct.publish(channel, payload)
		await until(() => one.errors.length === garbage.length)
		for (const error of one.errors) expect(error).toMatchObject({ code: expect.stringMatching(/^EV_/) })
		expect(state.get()).toBe(1)
		await direct.del(key)
		await direct.set(key, 'not a hash')
		const waiting = state.set((value) => value + 1)
		await until(() => one.errors.length > garbage.length)
		expect(one.errors.at(-1)).toMatchObject({ code: 'EV_UNAVAILABLE' })
		// At once, so that the change that waits does not find the key free in between.
		await direct.multi().del(key).hset(key, { v: 'many', s: 'x', d: '7' }).exec()
		const other = new Instance(opened, redis.url, { namespace })
		const refused = other.state('n', 5, { deadline: 300 })
		await expect(refused.set((value) => value + 1)).rejects.toMatchObject({ code: 'EV_UNAVAILABLE' })
		expect(await direct.hget(key, 'd')).toBe('7')
		refused.close()
		await direct.del(key)
		expect(await waiting).toBe(2)
	})

	it('uses a client that was passed in, with its prefix, and leaves it open', async () => {
		namespace = randomUUID()
		const client = opened.add(new Redis(redis.url, { keyPrefix: 'app:' }), (it) => it.disconnect())
		const a = new Instance(opened, client, { namespace })
		const b = new Instance(opened, { host: redis.host, port: redis.port, keyPrefix: 'app:' }, { namespace })
		const [onA, onB] = [a.state('n', 0), b.state('n', 0)]
		await onA.ready
		await until(() => a.adapter.healthy && b.adapter.healthy)
		await onA.set((value) => value + 1)
		await until(() => onB.get() === 1)
		expect(await direct.hget(`app:{${namespace}}:state:n`, 'd')).toBe('1')
		onA.close()
		await a.adapter.close()
		expect(await client.ping()).toBe('PONG')
	})

	it('keeps what is not a value only for a time', async () => {
		const [one] = instances(1)
		const states = one?.states<{ n: number; gone: number }>()
		await states?.createState('n', 0).set((value) => value + 1)
		await states?.createState('gone', 0).ready
		states?.removeState('gone')
		await until(async () => (await direct.exists(`{${namespace}}:gone:gone`)) === 1)
		const keys = await direct.keys(`{${namespace}}:*`)
		const lives = await Promise.all(keys.map(async (key) => [key.split(':')[1], await direct.ttl(key)]))
		for (const [kind, ttl] of lives) {
			if (kind === 'state' || kind === 'states' || kind === 'listed') expect(ttl).toBe(-1)
			else if (kind === 'gone') expect(ttl).toBeGreaterThan(6 * 86_400)
			else expect([kind, Number(ttl) > 800]).toEqual(['done', true])
		}
	})

	it.skipIf(noAcl)('works for a user who may do no more than the documentation says', async () => {
		namespace = randomUUID()
		const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
		const [line = ''] = /ACL SETUSER app .*/.exec(readme) ?? []
		const [, , user = '', ...rules] = line.replaceAll('{evstream}', `{${namespace}}`).split(' ')
		await direct.call('ACL', 'SETUSER', user, 'reset', ...rules)
		const source = { host: redis.host, port: redis.port, username: 'app', password: 'secret' }
		const [a, b] = [new Instance(opened, source, { namespace }), new Instance(opened, source, { namespace })]
		const [onA, onB] = [a.states<{ n: number }>(), b.states<{ n: number }>()]
		await onA.createState('n', 0).set((value) => value + 1)
		await until(() => onB.getState('n')?.get() === 1)
		onB.removeState('n')
		await until(() => !onA.hasState('n'))
		await until(() => a.adapter.healthy)
		expect([...a.errors, ...b.errors]).toEqual([])
	})

	it('removes and creates on three instances at once, and ends with one set', async () => {
		const all = instances(3).map((one) => one.states<Record<`s${number}`, number>>())
		for (let n = 0; n < 60; n++) {
			const one = all[n % 3]
			if (Math.random() < 0.5) one?.createState(`s${n % 4}`, n)
			else one?.removeState(`s${n % 4}`)
			if (n % 7 === 0) await direct.ping()
		}
		const names = ['s0', 's1', 's2', 's3'] as const
		await until(async () => {
			const listed = (await direct.hkeys(`{${namespace}}:states`)).sort().join()
			const values = (await direct.keys(`{${namespace}}:state:*`)).map((key) => key.split(':').at(-1)).sort()
			return (
				values.join() === listed &&
				all.every((states) => names.filter((name) => states.hasState(name)).join() === listed)
			)
		})
	})

	it('refuses wrong options before it connects', () => {
		for (const bad of ['', 'a b', '{a}', 'a\n']) {
			expect(() => new EvRedisAdapter(redis.url, { namespace: bad })).toThrow(TypeError)
		}
		// @ts-expect-error a wrong type
		expect(() => new EvRedisAdapter(redis.url, { onError: 5 })).toThrow(TypeError)
		expect(() => new EvRedisAdapter(redis.url, { deadline: 0 })).toThrow(RangeError)
	})

	it('closes twice, and rejects what still waits', async () => {
		const [one] = instances(1)
		const state = one?.state('n', 0)
		await state?.ready
		await one?.adapter.close()
		await one?.adapter.close()
		await expect(state?.set((value) => value + 1)).rejects.toMatchObject({ code: 'EV_CLOSED' })
	})
})

import { randomUUID } from 'node:crypto'
import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { dataOf, lookInto, startInstance, useRedis } from './support/log-instances.js'

const redis = useRedis()

describe('clients that come back', () => {
	it('sixty at once, each to thirty other channels and from another position, all get everything in order', async () => {
		const namespace = randomUUID()
		const { manager, listen } = await startInstance(redis(), { namespace })
		const names = Array.from({ length: 90 }, (_, n) => `c${n}`)
		const first = await manager.send('first', { data: '0' })
		const [epoch] = (first ?? '').split('-')
		const sends: Promise<string | undefined>[] = []
		for (let n = 0; n < 30; n++) {
			for (const name of names) sends.push(Promise.resolve(manager.send(name, { data: `${name} ${n}` })))
		}
		await Promise.all(sends)
		const clients = await Promise.all(
			Array.from({ length: 60 }, async (_, n) => {
				const channels = names.slice(n % 60, (n % 60) + 30)
				return { channels, after: n, client: await listen(channels, `${epoch}-${n}`) }
			}),
		)
		// The message n of the channel c has the number 2 + n * 90 + c.
		for (const { channels, after, client } of clients) {
			const expected: string[] = []
			for (let n = 0; n < 30; n++) {
				for (const name of channels) {
					if (2 + n * names.length + names.indexOf(name) > after) expected.push(`${name} ${n}`)
				}
			}
			await until(() => dataOf(client).length >= expected.length, { timeout: 20_000 })
			expect(dataOf(client)).toEqual(expected)
		}
		expect(manager.stats().resets).toBe(0)
	}, 40_000)

	it('get nothing that is over its ttl, although Redis still has it', async () => {
		const namespace = randomUUID()
		const ttl = 600_000
		const { manager, listen } = await startInstance(redis(), { namespace, history: { size: 100, ttl } })
		const look = lookInto(redis())
		const before = await manager.send('other', { data: '0' })
		for (let n = 0; n < 5; n++) await manager.send('x', { data: 'old' })
		const key = `{${namespace}}:channel:x`
		const entries = await look.xrange(key, '-', '+')
		await look.del(key)
		for (const [id, fields] of entries) {
			const [seq = '', time = ''] = id.split('-')
			await look.xadd(key, `${seq}-${Number(time) - ttl - 1}`, ...fields)
		}
		const client = await listen(['x'], before)
		expect(await client.next('reset')).toMatchObject({ data: '{"reason":"trimmed"}' })
		await manager.send('x', { data: 'new' })
		await client.next(({ data }) => data === 'new')
		expect(dataOf(client)).toEqual(['{"reason":"trimmed"}', 'new'])
	})
})

import { randomUUID } from 'node:crypto'
import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { dataOf, lookInto, startInstance, useRedis } from './support/log-instances.js'

const redis = useRedis()

describe('a channel that keeps nothing for clients', () => {
	for (const [how, options] of [
		['in a history with others', { history: { size: 10, channels: { x: false } } }],
		['without any history', { history: undefined }],
	] as const) {
		it(`${how} is still repaired for those who listen: nothing lost, nobody reset`, async () => {
			const namespace = randomUUID()
			const sender = await startInstance(redis(), { namespace, ...options })
			const receiver = await startInstance(redis(), { namespace, ...options })
			const client = await receiver.listen(['x'], '')
			// Without history nothing tells a client from when on it is certain to hear.
			await until(async () => {
				await sender.manager.send('x', { data: 'begin' })
				return dataOf(client).includes('begin')
			})
			receiver.proxy.refuse(true)
			receiver.proxy.cut()
			for (let n = 0; n < 20; n++) await sender.manager.send('x', { data: `${n}` })
			receiver.proxy.refuse(false)
			await client.next(({ data }) => data === '19')
			const heard = dataOf(client).filter((data) => data !== 'begin')
			expect(heard).toEqual(Array.from({ length: 20 }, (_, n) => `${n}`))
			expect(receiver.manager.stats().resets).toBe(0)
			// It is kept for repairs only, so not for long.
			const look = lookInto(redis())
			expect(await look.pttl(`{${namespace}}:channel:x`)).toBeLessThanOrEqual(90_000)
		})
	}
})

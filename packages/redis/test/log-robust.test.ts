import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type EvManagedStream, EvStreamManager } from '@evstream/core'
import { until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { EvRedisAdapter } from '../src/index.js'
import { dataOf, lookInto, startInstance, useRedis } from './support/log-instances.js'

const redis = useRedis()

/** The streams an instance makes from now on. */
function streamsOf({ manager }: Awaited<ReturnType<typeof startInstance>>): EvManagedStream[] {
	const streams: EvManagedStream[] = []
	const create = manager.createStream.bind(manager)
	manager.createStream = (...args) => {
		const stream = create(...args)
		streams.push(stream)
		return stream
	}
	return streams
}

describe('a key that somebody spoilt', () => {
	it('costs its own channel the history, and no other channel anything', async () => {
		const namespace = randomUUID()
		const { manager, listen } = await startInstance(redis(), { namespace })
		const before = await manager.send('z', { data: '0' })
		const first = await manager.send('x', { data: '0' })
		await manager.send('y', { data: '0' })
		await lookInto(redis()).set(`{${namespace}}:channel:x`, 'not a stream')
		const client = await listen(['x', 'y'])
		for (let n = 1; n <= 3; n++) {
			await Promise.all(['y', 'x', 'y'].map((name, at) => manager.send(name, { data: `${name}${n}${at}` })))
		}
		await until(() => dataOf(client).length === 9)
		const again = await listen(['y'], first)
		await until(() => dataOf(again).length === 7)
		const told = await listen(['x'], before)
		await told.next('reset')
	})

	it('does not keep an instance from repairing its other channels', async () => {
		const namespace = randomUUID()
		const one = await startInstance(redis(), { namespace })
		const two = await startInstance(redis(), { namespace })
		const client = await two.listen(['x', 'y'])
		await one.manager.send('x', { data: 'x' })
		await client.next(({ data }) => data === 'x')
		two.proxy.refuse(true)
		two.proxy.cut()
		await lookInto(redis()).set(`{${namespace}}:channel:x`, 'not a stream')
		await one.manager.send('y', { data: 'y' })
		two.proxy.refuse(false)
		await client.next(({ data }) => data === 'y')
		await one.manager.send('x', { data: 'again' })
		await client.next(({ data }) => data === 'again')
	})
})

describe('what an application passes', () => {
	it('as except cannot forge a message, whatever is in it', async () => {
		const namespace = randomUUID()
		const one = await startInstance(redis(), { namespace })
		const client = await one.listen(['x'])
		const odd = ['a\nb', 'a\u2028b', 'a\rb', '', ' ', 'x\n\n', '1 2\n3 4 5 6 7\n', '\0', '😀']
		for (const except of odd) await one.manager.send('x', { data: 'fine' }, { except })
		const [{ id: epochAndSeq = '' } = {}] = client.events
		const epoch = epochAndSeq.split('-')[0]
		const forged = `data:forged\n\n`
		const except = `\ndata:a\n\n${epoch} 999 0 ${forged.length} \n${forged}`
		await one.manager.send('x', { data: 'a' }, { except })
		await one.manager.send('x', { data: 'last' })
		await client.next(({ data }) => data === 'last')
		expect(dataOf(client)).toEqual([...odd.map(() => 'fine'), 'a', 'last'])
		expect(one.errors).toEqual([])
	})

	it('as history may be without an end', async () => {
		const history = { size: Number.POSITIVE_INFINITY, ttl: 1e300 }
		const { manager, listen } = await startInstance(redis(), { history })
		const first = await manager.send('x', { data: '0' })
		await manager.send('x', { data: '1' })
		const client = await listen(['x'], first)
		await client.next(({ data }) => data === '1')
	})

	it('as size of the history reaches Redis as a length that every server reads', async () => {
		for (const [size, expected] of [
			[10, 10],
			[2 ** 40, 2 ** 31 - 1],
			[Number.POSITIVE_INFINITY, 2 ** 31 - 1],
		] as const) {
			const client = lookInto(redis())
			const sent = vi.spyOn(client, 'sendCommand')
			const adapter = new EvRedisAdapter(client, { namespace: randomUUID() })
			const manager = new EvStreamManager({ adapter, history: { size } })
			onTestFinished(async () => {
				await manager.close()
				await adapter.close()
			})
			await manager.send('a-channel', { data: '1' })
			const publish = sent.mock.calls
				.map(([{ args }]) => args.map(String))
				.find((args) => args.includes('a-channel'))
			// The name of the channel, its Pub/Sub channel, the size.
			expect(publish?.[publish.indexOf('a-channel') + 2]).toBe(String(expected))
		}
	})

	it('as last may be more than there is', async () => {
		const instance = await startInstance(redis())
		const { manager } = instance
		await manager.send('x', { data: '0' })
		for (const last of [1e9, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY]) {
			const streams = streamsOf(instance)
			const client = await instance.listen([], '')
			await until(() => streams.length === 1)
			streams[0]?.listen('x', { last })
			await client.next(({ data }) => data === '0')
		}
		expect(instance.errors).toEqual([])
	})
})

describe('the history of a channel', () => {
	it('that keeps nothing is shown to nobody', async () => {
		const instance = await startInstance(redis(), { history: { size: 10, channels: { x: false } } })
		const { manager, listen } = instance
		const first = await manager.send('y', { data: '0' })
		const missed = await manager.send('x', { data: 'secret' })
		const told = await listen(['x'], first)
		expect(await told.next('reset')).toMatchObject({ data: '{"reason":"trimmed"}' })
		const fine = await listen(['x'], missed)
		const streams = streamsOf(instance)
		const newcomer = await listen([], '')
		await until(() => streams.length === 1)
		streams[0]?.listen('x', { last: 10 })
		await newcomer.next('position')
		await manager.send('x', { data: 'live' })
		for (const client of [told, fine, newcomer]) await client.next(({ data }) => data === 'live')
		expect(dataOf(fine)).toEqual(['live'])
		expect(dataOf(newcomer)).toEqual(['live'])
	})

	it('that goes on loses what is too old', async () => {
		const namespace = randomUUID()
		const { manager, listen } = await startInstance(redis(), { namespace, history: { size: 1_000, ttl: 60 } })
		const first = await manager.send('y', { data: '0' })
		for (let n = 0; n < 300; n++) await manager.send('x', { data: 'old' })
		await until(async () => {
			await manager.send('x', { data: 'new' })
			const client = await listen(['x'], first)
			const [event] = await Promise.all([client.next()])
			client.close()
			return event.event === 'reset'
		})
		const look = lookInto(redis())
		const key = `{${namespace}}:channel:x`
		await until(async () => {
			await manager.send('x', { data: 'new' })
			return (await look.xlen(key)) < 300
		})
	})
})

describe('subscribing', () => {
	const nothing = { deliver() {}, reset() {}, direct() {} }
	const options = { instance: 'i-', resumable: true, retention: () => ({ size: 10, ttl: 60_000 }) }

	it('to more channels at once than commands may wait works', async () => {
		const errors: unknown[] = []
		const adapter = new EvRedisAdapter(redis().url, { namespace: randomUUID(), onError: () => {} })
		onTestFinished(() => adapter.close())
		const log = adapter.openLog({ ...nothing, error: (error) => errors.push(error) }, options)
		onTestFinished(() => log.close())
		const names = Array.from({ length: 12_000 }, (_, n) => `c${n}`)
		await Promise.all(names.map((name) => log.subscribe(name)))
		for (const name of names) log.unsubscribe(name)
		await until(() => adapter.stats().channels === 1)
		expect(errors).toEqual([])
	})

	it('and sending with a client that its owner closed is refused at once', async () => {
		const client = new Redis(redis().url)
		const adapter = new EvRedisAdapter(client, { namespace: randomUUID(), onError: () => {} })
		onTestFinished(() => adapter.close())
		const log = adapter.openLog({ ...nothing, error() {} }, options)
		await log.subscribe('a')
		const since = performance.now()
		client.disconnect()
		for (const refused of [
			log.subscribe('b'),
			log.append('a', 'data:1\n\n'),
			log.direct('i-1', 'data:2\n\n'),
		]) {
			await expect(refused).rejects.toMatchObject({ code: 'EV_CLOSED' })
		}
		expect(performance.now() - since).toBeLessThan(1_000)
		expect(adapter.healthy).toBe(false)
	})
})

describe('a client that comes back', () => {
	it('to a channel this instance did not follow meanwhile misses nothing', async () => {
		const namespace = randomUUID()
		const one = await startInstance(redis(), { namespace })
		const two = await startInstance(redis(), { namespace })
		const start = await one.manager.send('x', { data: '0' })
		const first = await two.listen(['x'], start)
		await first.next('position')
		first.close()
		await until(() => two.manager.stats().channels === 0)
		for (const data of ['1', '2', '3']) await one.manager.send('x', { data })
		// The page that the first client got is remembered, but this instance has not seen what came then.
		const second = await two.listen(['x'], start)
		await second.next(({ data }) => data === '3')
		expect(dataOf(second)).toEqual(['1', '2', '3'])
	})

	it('and leaves a channel before it is confirmed keeps its stream', async () => {
		const instance = await startInstance(redis())
		const start = await instance.manager.send('x', { data: '0' })
		const streams = streamsOf(instance)
		const client = await instance.listen([], start)
		await until(() => streams.length === 1)
		const [stream] = streams
		for (let n = 0; n < 20; n++) {
			stream?.listen('y')
			stream?.listen('z')
			await new Promise((resolve) => setImmediate(resolve))
			stream?.unlisten('y')
		}
		await instance.manager.send('z', { data: 'here' })
		await client.next(({ data }) => data === 'here')
		expect(instance.errors).toEqual([])
	})

	it('and goes at once causes no error', async () => {
		const instance = await startInstance(redis())
		const start = await instance.manager.send('x', { data: '0' })
		for (let n = 0; n < 30; n++) {
			const client = await instance.listen([`c${n}`], n % 2 ? start : '')
			client.close()
		}
		await until(() => instance.manager.stats().connections === 0)
		await instance.listen(['x'])
		expect(instance.errors).toEqual([])
	})
})

describe('everything that was closed', () => {
	it('leaves no handle behind, whatever it was doing', async () => {
		const script = fileURLToPath(new URL('./workers/closing-log.ts', import.meta.url))
		const flags = ['--conditions=@evstream/source', '--import', 'tsx']
		// It ends by itself, which is the other half of the proof.
		const { stdout } = await promisify(execFile)(process.execPath, [...flags, script, redis().url], {
			timeout: 15_000,
		})
		expect(JSON.parse(stdout)).toEqual([])
	})
})

describe('a publish whose answer is lost', () => {
	it('is sent again and counts once', async () => {
		const namespace = randomUUID()
		const sender = await startInstance(redis(), { namespace })
		const receiver = await startInstance(redis(), { namespace })
		const client = await receiver.listen(['x'])
		await sender.manager.send('x', { data: '0' })
		const look = lookInto(redis())
		for (let n = 1; n <= 5; n++) {
			// Late enough for the answer to be on its way when Redis is seen to have run the script.
			sender.proxy.delay(100)
			const sent = Promise.all([
				sender.manager.send('x', { data: `${n}a` }),
				sender.manager.send('x', { data: `${n}b` }),
			])
			await until(async () => (await look.xlen(`{${namespace}}:channel:x`)) >= 2 * n + 1)
			sender.proxy.cut()
			sender.proxy.delay(0)
			const [first = '', second = ''] = await sent
			const seq = (id: string): number => Number(id.split('-')[1])
			expect([seq(first), seq(second)]).toEqual([2 * n, 2 * n + 1])
		}
		await client.next(({ data }) => data === '5b')
		expect(dataOf(client)).toEqual(['0', ...[1, 2, 3, 4, 5].flatMap((n) => [`${n}a`, `${n}b`])])
		expect(await look.xlen(`{${namespace}}:channel:x`)).toBe(11)
	})
})

import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { dataOf, lookInto, startInstance, useRedis } from './support/log-instances.js'

const redis = useRedis()

async function one() {
	const namespace = randomUUID()
	const look = lookInto(redis())
	const instance = await startInstance(redis(), { namespace })
	const key = (name: string): string => `{${namespace}}:${name}`
	return {
		...instance,
		look,
		/** Sends a message; returns its id. */
		send: async (channel: string, data: string): Promise<string> => {
			const id = await instance.manager.send(channel, { data })
			return id ?? ''
		},
		key,
		/** As if the time after which silent channels are looked for had passed. */
		age: () => look.hset(key('log'), 'marked', '0'),
		/** As if another server had these data, and the identity was not looked at for a while. */
		move: (run: string) => look.hset(key('log'), 'run', run, 'checked', '0'),
	}
}

describe('a channel that was silent for two rounds', () => {
	it('is taken off the list, while others stay, and only who stands below the floor is told', async () => {
		const { send, listen, look, key, age } = await one()
		const before = await send('quiet', '1')
		await send('quiet', '2')
		const after = await send('busy', '3')
		await age()
		await send('busy', '4')
		// The first round only marks where the log stands.
		expect(await look.zrange(key('channels'), '0', '-1')).toEqual(['quiet', 'busy'])
		await age()
		await send('busy', '5')
		expect(await look.zrange(key('channels'), '0', '-1')).toEqual(['busy'])
		expect(await look.hmget(key('log'), 'floor', 'seq')).toEqual(['3', '5'])
		// What the floor covers cannot be proved complete any more.
		const missed = await listen(['quiet'], before)
		expect(await missed.next('reset')).toMatchObject({ data: '{"reason":"trimmed"}' })
		const told = await listen(['quiet', 'busy'], after)
		await told.next(({ data }) => data === '5')
		expect(dataOf(told)).toEqual(['4', '5'])
	})

	it('costs a client that stands above the floor nothing, and can begin again', async () => {
		const { send, listen, age } = await one()
		await send('quiet', '1')
		await age()
		await send('busy', '2')
		await age()
		const position = await send('busy', '3')
		const client = await listen(['quiet', 'busy'], position)
		await send('quiet', '4')
		await client.next(({ data }) => data === '4')
		const again = await listen(['quiet'], position)
		await again.next(({ data }) => data === '4')
		expect(dataOf(client)).toEqual(['4'])
		expect(dataOf(again)).toEqual(['4'])
	})

	it('does not come back with entries of before', async () => {
		const { send, listen, look, key, age } = await one()
		const first = await send('quiet', 'old')
		await age()
		await send('busy', '2')
		await age()
		await send('busy', '3')
		await send('quiet', 'new')
		expect(await look.xlen(key('channel:quiet'))).toBe(1)
		const client = await listen(['quiet'], first.replace(/1$/, '0'))
		expect(await client.next()).toMatchObject({ event: 'reset', data: '{"reason":"trimmed"}' })
		const above = await listen(['quiet'], first)
		await above.next(({ data }) => data === 'new')
		expect(dataOf(above)).toEqual(['new'])
	})
})

describe('a log that lost its list of channels', () => {
	it('begins an epoch: what was missed is told, and the numbers rise on', async () => {
		const { send, listen, look, key } = await one()
		const before = await send('x', '1')
		const last = await send('x', '2')
		await look.del(key('channels'))
		const client = await listen(['x'], before)
		expect(await client.next()).toMatchObject({ event: 'reset', data: '{"reason":"epoch"}' })
		const next = await send('x', '3')
		await client.next(({ data }) => data === '3')
		expect(next.split('-')[0]).not.toBe(last.split('-')[0])
		expect(next.split('-')[1]).toBe('3')
		const again = await listen(['x'], next)
		await send('x', '4')
		await again.next(({ data }) => data === '4')
		expect(dataOf(again)).toEqual(['4'])
	})

	it('knows no earlier epoch any more, and keeps its floor', async () => {
		const { send, look, key, age, move } = await one()
		await send('x', '1')
		await move('another')
		await send('x', '2')
		expect(await look.hget(key('log'), 'cuts')).not.toBe('')
		await look.del(key('channels'))
		await send('y', '3')
		expect(await look.hmget(key('log'), 'cuts', 'floor')).toEqual(['', '2'])
		expect(await look.zrange(key('channels'), '0', '-1')).toEqual(['y'])
		// The mark of before the loss is lower.
		await age()
		await send('y', '4')
		expect(await look.hget(key('log'), 'floor')).toBe('2')
	})

	it('although it never had a message goes on', async () => {
		const { send, listen } = await one()
		const client = await listen(['x'])
		const [{ id: start = '' } = {}] = client.events
		const [, again] = [await send('x', '1'), await listen(['x'], start)]
		await again.next(({ data }) => data === '1')
		expect(dataOf(again)).toEqual(['1'])
	})
})

describe('an epoch that another server began', () => {
	it('is known up to where this server has it: positions before resume, later ones are told', async () => {
		const { send, listen, look, key, move } = await one()
		const first = await send('x', '1')
		await send('x', '2')
		const [epoch] = first.split('-')
		await move('another')
		const next = await send('x', '3')
		expect(next).not.toContain(`${epoch}-`)
		expect(await look.hget(key('log'), 'cuts')).toBe(`${epoch}:2;`)
		const known = await listen(['x'], `${epoch}-1`)
		await known.next(({ data }) => data === '3')
		expect(dataOf(known)).toEqual(['2', '3'])
		const lost = await listen(['x'], `${epoch}-3`)
		expect(await lost.next()).toMatchObject({ event: 'reset', data: '{"reason":"epoch"}' })
	})

	it('is one of the newest sixteen that are remembered', async () => {
		const { send, look, key, move } = await one()
		const epochs: (string | undefined)[] = []
		for (let n = 0; n < 20; n++) {
			epochs.unshift((await send('x', `${n}`)).split('-')[0])
			await move(`server ${n}`)
		}
		await send('x', 'last')
		const cuts = String(await look.hget(key('log'), 'cuts'))
		expect(cuts.split(';').slice(0, -1)).toEqual(epochs.slice(0, 16).map((epoch, n) => `${epoch}:${20 - n}`))
	})
})

describe('a log that was lost', () => {
	it('begins with no channels, whatever is left of those before', async () => {
		const { send, look, key } = await one()
		await send('x', '1')
		await look.del(key('log'))
		expect(await send('y', '1')).toMatch(/-1$/)
		expect(await look.zrange(key('channels'), '0', '-1')).toEqual(['y'])
	})

	it('is kept for some days after the last message, with its list', async () => {
		const { send, look, key } = await one()
		await send('x', '1')
		for (const name of ['log', 'channels']) {
			const left = await look.pttl(key(name))
			expect(left).toBeGreaterThan(5 * 86_400_000)
			expect(left).toBeLessThanOrEqual(6 * 86_400_000)
		}
	})
})

describe('a stream with later entries than its log', () => {
	it('is begun again', async () => {
		const { send, listen, look, key } = await one()
		const first = await send('x', '1')
		await look.xadd(key('channel:x'), '999-1', 'v', '0', 'p', 'data:old', 'x', '')
		expect(await send('x', '2')).toMatch(/-2$/)
		expect(await look.xlen(key('channel:x'))).toBe(1)
		const client = await listen(['x'], first)
		await client.next(({ data }) => data === '2')
		expect(dataOf(client)).toEqual(['2'])
	})
})

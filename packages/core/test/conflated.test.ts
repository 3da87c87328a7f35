import { setImmediate as nextTurn } from 'node:timers/promises'
import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { connect } from './support/serve.js'
import { serve } from './support/streams-server.js'
import { LARGE } from './support/streams-slow.js'
import { valve } from './support/valve.js'

/** A client of the conflated channels `a` and `b`, which is behind until the valve opens. */
async function behind() {
	const { manager, url, streams } = await serve()
	const a = manager.provide('a', {})
	const b = manager.provide('b', {})
	const client = await connect(`${url}/?channel=a&channel=b`)
	const { stream, res } = await streams.next()
	if (res.socket === null) throw new Error('The response has no socket')
	await nextTurn()
	const { open, step } = valve(res.socket)
	expect(stream.message({ event: 'large', data: LARGE })).toBe(false)
	return { manager, client, stream, a, b, open, step }
}

describe('a client that is behind', () => {
	it('gets the newest message of each conflated channel, in the order of those', async () => {
		const { manager, client, stream, a, b, open } = await behind()
		for (const data of ['a1', 'a2', 'a3']) a.broadcast({ data })
		const { bufferedBytes } = manager.stats()
		for (const data of ['b1', 'b2']) b.broadcast({ data })
		a.broadcast({ data: 'a4' })
		expect(manager.stats().bufferedBytes).toBe(bufferedBytes)
		open()
		await stream.drain()
		stream.message({ event: 'end', data: '' })
		await client.next('end')
		expect(client.events.map(({ event, data }) => (event === 'message' ? data : event))).toEqual([
			'large',
			'b2',
			'a4',
			'end',
		])
	})

	it('gets nothing of a conflated channel that it does not listen to any more', async () => {
		const { client, stream, a, b, open } = await behind()
		a.broadcast({ data: 'a1' })
		b.broadcast({ data: 'b1' })
		stream.unlisten('a')
		open()
		await stream.drain()
		stream.message({ event: 'end', data: '' })
		await client.next('end')
		expect(client.events.slice(1).map(({ data }) => data)).toEqual(['b1', ''])
	})

	it('gets each message of a conflated channel again once it has caught up', async () => {
		const { client, stream, a, open } = await behind()
		open()
		await stream.drain()
		for (const data of ['a1', 'a2']) a.broadcast({ data })
		stream.message({ event: 'end', data: '' })
		await client.next('end')
		expect(client.events.slice(1).map(({ data }) => data)).toEqual(['a1', 'a2', ''])
	})

	it('is still waited for by drain if what it gets then makes it fall behind again', async () => {
		const { manager, client, stream, a, step, open } = await behind()
		a.broadcast({ event: 'newest', data: LARGE })
		let drained = false
		const draining = stream.drain().then(() => {
			drained = true
		})
		// What was written first is taken, and the newest message follows it.
		step()
		await until(() => manager.stats().bufferedBytes > LARGE.length)
		for (let turn = 0; turn < 5; turn++) await nextTurn()
		expect(drained).toBe(false)
		expect(stream.message({ event: 'end', data: '' })).toBe(false)
		open()
		await draining
		await client.next('end')
		expect(client.events.map(({ event }) => event)).toEqual(['large', 'newest', 'end'])
	})
})

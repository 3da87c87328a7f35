import { AwaitableQueue } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import type { EvManagedStream } from '../src/index.js'
import { serveManager } from './support/serve.js'
import { nextTurn } from './support/streams-slow.js'
import { thrownBy } from './support/visit.js'

describe('the source of a channel', () => {
	it('refuses an id of its own with history, as a position may not be overwritten', async () => {
		const { manager, connect } = await serveManager({ history: { size: 10 } })
		let id: string | undefined = 'mine'
		const source = manager.provide('a', { snapshot: () => ({ data: 'snapshot', id }) })
		const { client, stream } = await connect()
		expect(thrownBy(() => stream.listen('a'))).toMatchObject({ code: 'EV_INVALID_MESSAGE' })
		expect(manager.stats()).toMatchObject({ listeners: 0, channels: 0 })
		id = undefined
		stream.listen('a')
		await client.next('position')
		expect(thrownBy(() => source.broadcast({ data: 'value', id: 'mine' }))).toMatchObject({
			code: 'EV_INVALID_MESSAGE',
		})
		source.broadcast({ event: 'last', data: '' })
		await client.next('last')
		expect(client.events.map(({ data, id: of }) => [data, of !== undefined])).toEqual([
			['snapshot', false],
			['', true],
			['', false],
		])
	})

	it('takes an id without history', async () => {
		const { manager, connect } = await serveManager()
		const source = manager.provide('a', {})
		const { client, stream } = await connect()
		stream.listen('a')
		source.broadcast({ data: 'value', id: 'mine' })
		expect(await client.next()).toMatchObject({ data: 'value', id: 'mine' })
	})

	it('broadcasts nothing once it is closed, also while another one has the channel', async () => {
		const { manager, connect } = await serveManager()
		const first = manager.provide('a', { snapshot: () => ({ data: 'first' }) })
		const { client, stream } = await connect()
		stream.listen('a')
		first.close()
		first.broadcast({ data: 'of nobody' })
		const second = manager.provide('a', { snapshot: () => ({ data: 'second' }) })
		first.broadcast({ data: 'of nobody' })
		// Idempotent: it does not take the channel away from the other.
		first.close()
		second.broadcast({ event: 'last', data: '' })
		await client.next('last')
		expect(client.events.map(({ data }) => data)).toEqual(['first', ''])
		expect(thrownBy(() => manager.provide('a', {}))).toBeInstanceOf(Error)
	})

	it('has no more listeners than maxListeners, also when its snapshot lets another one listen', async () => {
		const { manager, connect } = await serveManager({ maxListeners: 1 })
		const { stream: one } = await connect()
		const { stream: other } = await connect()
		let isAsked = false
		manager.provide('a', {
			snapshot: () => {
				if (!isAsked) {
					isAsked = true
					other.listen('a')
				}
				return { data: 'snapshot' }
			},
		})
		expect(thrownBy(() => one.listen('a'))).toMatchObject({ code: 'EV_MAX_LISTENERS' })
		expect(manager.stats()).toMatchObject({ listeners: 1, channels: 1 })
	})

	it('asks for a snapshot that may send, listen and close, and each happens before the greeting', async () => {
		const { manager, connect } = await serveManager({ history: { size: 10 } })
		const asked = new AwaitableQueue<EvManagedStream>()
		const joining: EvManagedStream[] = []
		manager.provide('a', {
			snapshot: () => {
				const [stream] = joining
				if (stream !== undefined) asked.push(stream)
				stream?.listen('b')
				void manager.send('b', { event: 'b', data: '' })
				return { event: 'snapshot', data: '' }
			},
		})
		const { client, stream } = await connect()
		joining.push(stream)
		stream.listen('a')
		await nextTurn()
		manager.send('a', { event: 'last', data: '' })
		await client.next('last')
		expect(asked.size).toBe(1)
		expect(client.events.map(({ event }) => event).filter((event) => event !== 'position')).toEqual([
			'b',
			'snapshot',
			'last',
		])
		joining.length = 0
		const other = await connect()
		manager.provide('c', {
			snapshot: () => {
				other.stream.close()
				return { event: 'snapshot', data: '' }
			},
		})
		other.stream.listen('c')
		await other.client.closed
		expect(other.client.events.map(({ event }) => event)).toEqual(['end'])
		expect(manager.stats().listeners).toBe(2)
	})
})

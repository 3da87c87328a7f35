import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { eventsOf, openRaw, parseChunked } from './support/streams-raw.js'
import { serve } from './support/streams-server.js'

const GET = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

type Served = Awaited<ReturnType<typeof serve>>
type Opened = Awaited<ReturnType<Served['streams']['next']>>

/** Opens one stream that listens to `a`, and one that listens to nothing. */
async function openTwo(served: Served) {
	await openRaw(served.port, GET('/?channel=a'))
	const first = await served.streams.next()
	const client = await openRaw(served.port, GET())
	const second = await served.streams.next()
	return { first, second, events: () => eventsOf(parseChunked(client.text).body), client }
}

/** Runs something once, within the next `res.write` of a stream. */
function withinWrite({ res }: Opened, run: () => void): void {
	const write = res.write.bind(res)
	let isDue = true
	res.write = (chunk: unknown) => {
		if (isDue) {
			isDue = false
			run()
		}
		return write(String(chunk))
	}
}

describe('a listen within a replaced res.write', () => {
	it('gets what is sent after it, and nothing that was sent before', async () => {
		const served = await serve()
		const { first, second, events, client } = await openTwo(served)
		const { manager } = served
		withinWrite(first, () => {
			second.stream.listen('a')
			expect(manager.stats().listeners).toBe(2)
			manager.send('a', { data: 'after' })
		})
		manager.send('a', { data: 'before' })
		manager.send('b', { data: 'ends the run' })
		manager.send('a', { data: 'before too' })
		await until(() => client.text.includes('after'))
		manager.send('a', { data: 'later' })
		await until(() => client.text.includes('later'))
		expect(events()).toEqual(['message:after', 'message:later'])
	})

	it('gets no older message with history either, and no id that goes back', async () => {
		const served = await serve({ history: { size: 100 } })
		const { first, second, events, client } = await openTwo(served)
		const { manager } = served
		withinWrite(first, () => {
			second.stream.listen('a')
			manager.send('a', { data: 'after' })
		})
		manager.send('a', { data: 'before' })
		await until(() => client.text.includes('after'))
		expect(events().filter((event) => event.startsWith('message:'))).toEqual(['message:after'])
	})

	it('is undone by an unlisten, and by the end of the stream', async () => {
		const served = await serve()
		const { first, second, client } = await openTwo(served)
		const { manager } = served
		withinWrite(first, () => {
			second.stream.listen('a')
			second.stream.unlisten('a')
			second.stream.listen('b')
			second.stream.close()
		})
		manager.send('a', { data: 'before' })
		await until(() => client.text.includes('event:end'))
		manager.send('a', { data: 'later' })
		manager.send('b', { data: 'later' })
		expect(manager.stats()).toMatchObject({ listeners: 1, channels: 1 })
	})

	it('makes it the only listener if the one that was written to leaves', async () => {
		const served = await serve()
		const { first, second, events, client } = await openTwo(served)
		const { manager } = served
		withinWrite(first, () => {
			second.stream.listen('a')
			first.stream.unlisten('a')
			manager.send('a', { data: 'after' })
		})
		manager.send('a', { data: 'before' })
		await until(() => client.text.includes('after'))
		expect(events()).toEqual(['message:after'])
	})

	it('gets the snapshot of a provider, and not what is broadcast at that moment', async () => {
		const served = await serve()
		const { first, second, events, client } = await openTwo(served)
		const { manager } = served
		const source = manager.provide('a', { snapshot: () => ({ data: 'snapshot' }) })
		withinWrite(first, () => second.stream.listen('a'))
		source.broadcast({ data: 'one' })
		source.broadcast({ data: 'two' })
		await until(() => client.text.includes('two'))
		expect(events()).toEqual(['message:snapshot', 'message:two'])
	})
})

import { once } from 'node:events'
import { AwaitableQueue, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { serve } from './support/streams-server.js'
import { dial } from './support/visit.js'
import { Endings } from './support/watch.js'

const GET = 'GET /?channel=a HTTP/1.1\r\nHost: a\r\n\r\n'

function warnings(): string[] {
	const seen: string[] = []
	const listen = ({ name, message }: Error) => void seen.push(`${name} ${message}`)
	process.on('warning', listen)
	onTestFinished(() => void process.off('warning', listen))
	return seen
}

/** The next turn, in which warnings are given. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('streams that are pipelined on one connection', () => {
	it('may be eight behind the first, without a warning', async () => {
		const seen = warnings()
		const { manager, server, streams } = await serve()
		const client = await dial(server, ...GET.trimEnd().split('\r\n'))
		await client.has('200 OK')
		client.socket.write(GET.repeat(8))
		await until(() => streams.size === 9)
		await turn()
		expect(manager.stats().connections).toBe(9)
		expect(client.ended).toBe(false)
		expect(seen).toEqual([])
		client.socket.destroy()
		await until(() => manager.stats().connections === 0)
	})

	it('count no more once it is their turn', async () => {
		let answer: (() => void) | undefined
		const { manager, server, streams } = await serve(
			{},
			{
				before(req, res) {
					if (req.url !== '/first') return
					answer = () => void res.end()
					return false
				},
			},
		)
		const client = await dial(server, 'GET /first HTTP/1.1', 'Host: a', '', ...GET.trimEnd().split('\r\n'))
		await until(() => streams.size === 1)
		answer?.()
		await client.has('text/event-stream')
		client.socket.write(GET.repeat(8))
		await until(() => streams.size === 9)
		await turn()
		expect(manager.stats().connections).toBe(9)
		expect(client.ended).toBe(false)
	})

	it('are cut off all together when more than eight wait, and none of them is left', async () => {
		const seen = warnings()
		const { manager, server, streams } = await serve()
		const client = await dial(server, ...GET.trimEnd().split('\r\n'))
		await client.has('200 OK')
		client.socket.write(GET.repeat(9))
		await until(() => client.ended)
		await until(() => manager.stats().connections === 0 && manager.stats().ending === 0)
		for (const { stream } of streams.drain()) expect(stream.closed).toBe(true)
		const many = await dial(server, ...GET.repeat(30).trimEnd().split('\r\n'))
		await until(() => many.ended)
		await until(() => manager.stats().connections === 0 && manager.stats().ending === 0)
		await turn()
		expect(seen).toEqual([])
		expect(manager.stats()).toMatchObject({ listeners: 0, channels: 0 })
	})

	it('may be many, one after the other, without a listener being left each time', async () => {
		const seen = warnings()
		const { server } = await serve(
			{},
			{
				onStream(stream) {
					stream.message({ data: 'x'.repeat(200_000) })
					stream.close()
				},
			},
		)
		const client = await dial(server, ...GET.trimEnd().split('\r\n'))
		for (let n = 1; n <= 15; n++) {
			await until(
				() => client.text.endsWith('\r\n0\r\n\r\n') && client.text.split('event:end').length === n + 1,
			)
			client.socket.write(GET)
		}
		await turn()
		expect(seen).toEqual([])
	})
})

describe('a stream that waits behind a response of the app', () => {
	async function behindPoll(options: Parameters<typeof serve>[0] = {}) {
		const endings = new Endings()
		const polls = new AwaitableQueue<() => void>()
		const served = await serve(options, {
			before(req, res) {
				if (req.url !== '/poll') return true
				polls.push(() => res.end('answer'))
				return false
			},
			onStream: (stream) => stream.onClose(endings.callback),
		})
		const client = await dial(served.server, 'GET /poll HTTP/1.1', 'Host: a', '', GET.trimEnd())
		const { stream } = await served.streams.next()
		return { ...served, client, stream, endings, answer: await polls.next() }
	}

	it('is let go by a shutdown, within a second after the drain time', async () => {
		const { manager, endings } = await behindPoll()
		const start = performance.now()
		await manager.close()
		expect(performance.now() - start).toBeLessThan(3_000)
		expect(await endings.next()).toEqual({ channels: ['a'], reason: 'shutdown' })
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 0, bufferedBytes: 0 })
	})

	it('and is closed is counted until it is cut off after stallTimeout', async () => {
		const { manager, stream, endings } = await behindPoll({ stallTimeout: 100 })
		stream.close()
		expect(await endings.next()).toEqual({ channels: ['a'], reason: 'closed' })
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 1 })
		await until(() => manager.stats().ending === 0)
	})

	it('gets what was written to it and its end when its turn comes', async () => {
		const { manager, stream, client, answer } = await behindPoll()
		stream.message({ data: '#'.repeat(300_000) })
		stream.close()
		answer()
		await client.has('event:end\ndata:\n\n\r\n0\r\n\r\n')
		expect(client.text.split('#')).toHaveLength(300_001)
		await until(() => manager.stats().ending === 0)
		client.socket.end()
		await once(client.socket, 'close')
	})
})

import { currentRequest, forgotten, inRequest, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type EvManagerOptions, EvStreamManager } from '../src/index.js'
import { serve as serveManager } from './support/streams-server.js'
import { nextTurn } from './support/streams-slow.js'
import { dial, serve, visit } from './support/visit.js'

/** Who called, and in whose request: each must be its own. */
class Calls {
	readonly all: [who: string, where: string | undefined][] = []

	note(who: string): void {
		this.all.push([who, currentRequest()])
	}

	of(who: string): (string | undefined)[] {
		return this.all.filter(([name]) => name === who).map(([, where]) => where)
	}
}

function managed(options: EvManagerOptions = {}): EvStreamManager {
	const manager = new EvStreamManager(options)
	onTestFinished(() => manager.close())
	return manager
}

function webStream(manager: EvStreamManager, options: Parameters<EvStreamManager['createResponse']>[1] = {}) {
	return manager.createResponse(new Request('http://localhost/'), options)
}

describe('a callback runs in the request that gave it', () => {
	it('verify, when it is asked first and when a shared timer asks it again', async () => {
		const calls = new Calls()
		const manager = managed()
		const streams = ['ann', 'bob', 'cid'].map((name) =>
			inRequest(name, () => {
				const verify = async () => {
					calls.note(name)
					await nextTurn()
					calls.note(name)
					return true
				}
				const { stream } = manager.createResponse(new Request('http://localhost/'), {
					authentication: { method: 'custom', revalidate: 10, verify },
				})
				return stream
			}),
		)
		// Somebody else's request asks all of them.
		await inRequest('somebody', () => Promise.all(streams.map((stream) => stream.authenticate())))
		await until(() => ['ann', 'bob', 'cid'].every((name) => calls.of(name).length >= 6))
		for (const [who, where] of calls.all) expect(where).toBe(who)
	})

	it('onClose, abort of signal and a late onClose, whoever ends the stream', async () => {
		const calls = new Calls()
		const manager = managed({ history: { size: 10 }, maxBuffer: 0 })
		const open = (name: string, maxAge?: number) =>
			inRequest(name, () => {
				const { stream } = webStream(manager, { maxAge })
				stream.onClose(() => calls.note(name))
				stream.signal.addEventListener('abort', () => calls.note(name))
				return stream
			})
		const closed = open('closed')
		const aged = open('aged', 20)
		const slow = open('slow')
		inRequest('slow', () => slow.listen('a'))
		const left = open('left')
		inRequest('other', () => closed.close())
		while (!slow.closed) {
			await inRequest('sender', () => manager.send('a', { data: 'x'.repeat(70_000) }))
			await nextTurn()
		}
		await until(() => aged.closed)
		inRequest('late', () => closed.onClose(() => calls.note('late')))
		await inRequest('closer', () => manager.close())
		await until(() => left.closed && calls.of('late').length === 1)
		for (const name of ['closed', 'aged', 'slow', 'left']) expect(calls.of(name)).toEqual([name, name])
		expect(calls.of('late')).toEqual(['late'])
	})

	it('a callback given to close', async () => {
		const calls = new Calls()
		const manager = managed()
		const { stream } = webStream(manager)
		inRequest('closer', () => stream.close(() => calls.note('closer')))
		expect(calls.all).toEqual([['closer', 'closer']])
	})

	it('a filter, live and in a replay', async () => {
		const calls = new Calls()
		const manager = managed({ history: { size: 10 } })
		const server = await serve((req, res) =>
			inRequest('listener', () => manager.createStream(req, res).listen('a')),
		)
		const start = await manager.send('a', { data: 'first' })
		const live = await visit(server)
		await live.next('position')
		const send = (name: string) =>
			inRequest(name, () =>
				manager.send(
					'a',
					{ event: 'm', data: name },
					{
						filter: () => {
							calls.note(name)
							return true
						},
					},
				),
			)
		await send('ann')
		await send('bob')
		await live.next(({ data }) => data === 'bob')
		const back = await visit(server, { headers: { 'last-event-id': start ?? '' } })
		await back.next(({ data }) => data === 'bob')
		for (const name of ['ann', 'bob']) {
			expect(calls.of(name).length).toBeGreaterThanOrEqual(2)
			expect(new Set(calls.of(name))).toEqual(new Set([name]))
		}
	})

	it('a snapshot, in that of the provider', async () => {
		const calls = new Calls()
		const manager = managed()
		inRequest('provider', () =>
			manager.provide('a', {
				snapshot: () => {
					calls.note('provider')
					return { data: '' }
				},
			}),
		)
		inRequest('listener', () => webStream(manager).stream.listen('a'))
		expect(calls.all).toEqual([['provider', 'provider']])
	})

	it('onError, of a manager and of a stream', async () => {
		const calls = new Calls()
		const manager = inRequest('manager', () => managed({ onError: () => calls.note('manager') }))
		const stream = inRequest(
			'stream',
			() => webStream(manager, { onError: () => calls.note('stream') }).stream,
		)
		stream.onClose(() => {
			throw new Error('of the app')
		})
		inRequest('closer', () => stream.close())
		inRequest('sender', () => void manager.send('a', { event: 'a\nb', data: '' }))
		await until(() => calls.all.length === 2)
		expect(calls.of('manager')).toEqual(['manager'])
		expect(calls.of('stream')).toEqual(['stream'])
	})
})

describe('nothing keeps the store of a request', () => {
	it.each([undefined, { size: 10 }])(
		'whose stream and message armed the timers and ticks that others share, with history %j',
		async (history) => {
			const { manager, server, streams } = await serveManager({ history, heartbeat: 30_000 })
			// Node keeps the context of the first request that a process makes or takes.
			const warm = await dial(server, 'GET /?channel=a HTTP/1.1', 'Host: a')
			await streams.next()
			warm.socket.destroy()
			await until(() => manager.stats().connections === 0)
			await forgotten(async () => {
				const { stream, response } = webStream(manager, { maxAge: 60_000 })
				stream.onClose(() => {})
				stream.listen('a')
				// Arms the tick, the turn, the timer of all streams, and the one that expires what is kept.
				await manager.send('a', { data: 'x'.repeat(200_000) })
				await nextTurn()
				await response.body?.cancel()
			})
			// Another one that stays, so that the timers are armed all the while.
			const stays = webStream(manager)
			await forgotten(async () => {
				await manager.send('b', { data: '' })
				await manager.to(stays.stream.id, { data: 'x'.repeat(1_000_000) })
				await nextTurn()
			})
			await stays.response.body?.cancel()
		},
	)

	it('that was the first to arm a timer, while the timer is armed', async () => {
		const manager = managed({ history: { size: 10 } })
		void new Request('http://localhost/')
		// What keeps the message alone: a timer that waits for a minute.
		await forgotten(() => manager.send('a', { data: '' }))
	})

	it('that sent in the tick in which a replay began, which still waits for its client', async () => {
		const manager = managed({ history: { size: 100 }, stallTimeout: 60_000 })
		const start = await manager.send('a', { data: '' })
		for (let n = 0; n < 100; n++) await manager.send('a', { data: 'x'.repeat(10_000) })
		webStream(manager).stream.listen('other')
		await nextTurn()
		let response: Response | undefined
		await forgotten(async () => {
			void manager.send('other', { data: '' })
			inRequest('another', () => {
				const joined = manager.createResponse(
					new Request('http://localhost/', { headers: { 'last-event-id': start ?? '' } }),
				)
				joined.stream.listen('a')
				response = joined.response
			})
			await nextTurn()
		})
		// Nobody has read: most of what was missed is not written yet.
		expect(manager.stats().bufferedBytes).toBeLessThan(500_000)
		await response?.body?.cancel()
	})

	it('whose client fell behind, when it has left', async () => {
		const manager = managed({ history: { size: 100 }, stallTimeout: 60_000 })
		void new Request('http://localhost/')
		const other = webStream(manager)
		await forgotten(async () => {
			const { stream, response } = webStream(manager)
			stream.message({ data: 'x'.repeat(2_000_000) })
			void stream.drain()
			await nextTurn()
			await response.body?.cancel()
		})
		await other.response.body?.cancel()
	})
})

import { AwaitableQueue, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import {
	type EvAuthenticationOptions,
	type EvManagedStream,
	EvNotAuthenticatedError,
	EvStreamManager,
	Evstream,
	EvUnavailableError,
} from '../src/index.js'
import { dial, serve, thrownBy, visit } from './support/visit.js'
import { Endings, isEmpty } from './support/watch.js'

/** A server whose streams are left to the test. */
async function open(authentication?: EvAuthenticationOptions) {
	const errors: unknown[] = []
	const manager = new EvStreamManager({ onError: (error) => errors.push(error) })
	const streams = new AwaitableQueue<EvManagedStream>()
	const server = await serve((req, res) => {
		streams.push(manager.createStream(req, res, { authentication }))
	})
	return { manager, errors, server, streams }
}

/** A verify whose answers the test gives. */
function slowVerify() {
	const questions = new AwaitableQueue<(answer: boolean) => void>()
	const verify = () => new Promise<boolean>((resolve) => questions.push(resolve))
	return { questions, authentication: { method: 'custom', verify } as const }
}

describe('authenticate', () => {
	it('gives undefined and opens at once when nothing is configured', async () => {
		const { server, streams } = await open()
		await visit(server)
		expect(await (await streams.next()).authenticate()).toBe(undefined)
	})

	it('asks once, and gives the first answer to everybody', async () => {
		for (const answer of [true, false]) {
			const { questions, authentication } = slowVerify()
			const { server, streams } = await open(authentication)
			const visiting = visit(server)
			const stream = await streams.next()
			const first = stream.authenticate()
			const second = stream.authenticate()
			const decide = await questions.next()
			decide(answer)
			expect(await Promise.all([first, second, stream.authenticate()])).toEqual([answer, answer, answer])
			expect(questions.size).toBe(0)
			const client = await visiting
			expect(client.status).toBe(answer ? 200 : 401)
			client.close()
		}
	})

	it('comes before message and listen, which throw and write nothing', async () => {
		const { questions, authentication } = slowVerify()
		const { server, streams, manager } = await open(authentication)
		const visiting = visit(server)
		const stream = await streams.next()
		const answer = stream.authenticate()
		const decide = await questions.next()
		for (const early of [() => stream.message({ data: 'early' }), () => stream.listen('news')]) {
			const error = thrownBy(early)
			expect(error).toBeInstanceOf(EvNotAuthenticatedError)
			expect(error).toMatchObject({ code: 'EV_NOT_AUTHENTICATED' })
		}
		await expect(stream.from(['early'])).rejects.toMatchObject({ code: 'EV_NOT_AUTHENTICATED' })
		expect(await manager.to(stream.id, { data: 'early' })).toBe(true)
		expect(manager.stats().listeners).toBe(0)
		decide(true)
		expect(await answer).toBe(true)
		stream.message({ data: 'in time' })
		const client = await visiting
		await client.next()
		expect(client.raw).toBe('data:in time\n\n')
	})

	it.each(['leaves', 'is closed'])(
		'changes nothing for a client that %s before it is refused',
		async (how) => {
			const { questions, authentication } = slowVerify()
			const { server, streams, manager } = await open(authentication)
			const endings = new Endings()
			const client = await dial(server, 'GET / HTTP/1.1', 'Host: a')
			const stream = await streams.next()
			stream.onClose(endings.callback)
			const answer = stream.authenticate()
			const decide = await questions.next()
			const reason = how === 'leaves' ? 'disconnected' : 'closed'
			if (how === 'leaves') client.socket.destroy()
			else stream.close()
			expect(await endings.next()).toEqual({ channels: [], reason })
			decide(false)
			expect(await answer).toBe(false)
			stream.onClose(endings.callback)
			expect(await endings.next()).toEqual({ channels: [], reason })
			await until(() => isEmpty(manager) && manager.stats().ending === 0)
			expect(endings.size).toBe(0)
		},
	)

	it('is the same on a stream without a manager', async () => {
		const { questions, authentication } = slowVerify()
		const streams = new AwaitableQueue<Evstream>()
		const server = await serve((req, res) => streams.push(new Evstream(req, res, { authentication })))
		const visiting = visit(server)
		const stream = await streams.next()
		expect(thrownBy(() => stream.message({ data: '' }))).toBeInstanceOf(EvNotAuthenticatedError)
		const answer = stream.authenticate()
		const decide = await questions.next()
		decide(false)
		expect(await answer).toBe(false)
		const client = await visiting
		await client.closed
		expect(client.status).toBe(401)
		expect(client.events).toHaveLength(1)
		expect(stream.message({ data: '' })).toBe(false)
	})

	it('keeps a challenge the app set itself', async () => {
		const manager = new EvStreamManager()
		const server = await serve(async (req, res) => {
			res.setHeader('WWW-Authenticate', 'Basic realm="a"')
			res.setHeader('Access-Control-Allow-Origin', 'https://app.example')
			await manager
				.createStream(req, res, { authentication: { method: 'custom', verify: () => false } })
				.authenticate()
		})
		const { status, headers } = await visit(server)
		expect(status).toBe(401)
		expect(headers).toMatchObject({
			'www-authenticate': 'Basic realm="a"',
			'access-control-allow-origin': 'https://app.example',
		})
	})
})

describe('revalidate', () => {
	it.each([
		['is no longer true', () => false],
		[
			'throws',
			() => {
				throw new Error('down')
			},
		],
	])('closes the stream when verify %s', async (_what, later: () => boolean) => {
		let calls = 0
		const { server, streams, manager } = await open({
			method: 'custom',
			revalidate: 5,
			verify: () => (++calls <= 3 ? true : later()),
		})
		const visiting = visit(server)
		const stream = await streams.next()
		const endings = new Endings()
		await stream.authenticate()
		stream.listen('news')
		stream.onClose(endings.callback)
		expect(await endings.next()).toEqual({ channels: ['news'], reason: 'revoked' })
		expect(calls).toBe(4)
		const client = await visiting
		await client.closed
		expect(client.events.map(({ event }) => event)).toEqual(['end'])
		await until(() => isEmpty(manager))
	})

	it('ends with the stream, also while verify is asked', async () => {
		const { questions, authentication } = slowVerify()
		const { server, streams, manager, errors } = await open({ ...authentication, revalidate: 5 })
		const visiting = visit(server)
		const stream = await streams.next()
		const answer = stream.authenticate()
		const letIn = await questions.next()
		letIn(true)
		await answer
		const client = await visiting
		const decide = await questions.next()
		client.close()
		await until(() => stream.closed)
		decide(true)
		await until(() => isEmpty(manager))
		expect(questions.size).toBe(0)
		expect(errors).toEqual([])
	})

	it('lets go of a client whose verify does not answer, without the event that says it is over', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
		onTestFinished(() => void vi.useRealTimers())
		for (const [revalidate, patience] of [
			[10, 1_000],
			[4_000, 4_000],
			[60_000, 10_000],
		] as const) {
			const errors: unknown[] = []
			let asked = 0
			const manager = new EvStreamManager({ onError: (error) => errors.push(error) })
			const verify = () => (++asked === 1 ? true : new Promise<boolean>(() => {}))
			const { stream, response } = manager.createResponse(new Request('http://a/'), {
				authentication: { method: 'custom', revalidate, verify },
			})
			const endings = new Endings()
			stream.onClose(endings.callback)
			expect(await stream.authenticate()).toBe(true)
			const text = response.then((given) => given.text())
			await vi.advanceTimersByTimeAsync(revalidate + 2)
			expect(asked).toBe(2)
			await vi.advanceTimersByTimeAsync(patience - 5)
			expect(stream.closed).toBe(false)
			await vi.advanceTimersByTimeAsync(10)
			expect(await endings.next()).toEqual({ channels: [], reason: 'revoked' })
			expect(errors).toEqual([expect.any(EvUnavailableError)])
			// It comes back, and is asked then.
			expect(await text).not.toContain('event:')
			expect(vi.getTimerCount()).toBe(0)
		}
	})

	it('leaves no timer behind when verify has answered', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
		onTestFinished(() => void vi.useRealTimers())
		let asked = 0
		const manager = new EvStreamManager()
		const { stream, response } = manager.createResponse(new Request('http://a/'), {
			authentication: { method: 'custom', revalidate: 100, verify: () => ++asked > 0 },
		})
		expect(await stream.authenticate()).toBe(true)
		const text = response.then((given) => given.text())
		for (let n = 0; n < 5; n++) await vi.advanceTimersByTimeAsync(102)
		expect(asked).toBe(6)
		// The one that all streams of the manager share.
		expect(vi.getTimerCount()).toBe(1)
		stream.close()
		await text
		expect(vi.getTimerCount()).toBe(0)
	})
})

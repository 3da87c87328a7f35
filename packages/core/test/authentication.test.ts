import type { IncomingMessage } from 'node:http'
import { AwaitableQueue, forgotten, until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Authenticator } from '../src/authentication.js'
import {
	type EvAuthenticationOptions,
	EvInvalidMessageError,
	type EvManagedStream,
	EvStreamManager,
} from '../src/index.js'
import { connectionSettings } from '../src/options.js'
import { WebRequest } from '../src/request.js'
import { Stream } from '../src/stream.js'
import { Deadline, type Timed, Timers } from '../src/timers.js'
import { WebTransport } from '../src/web-transport.js'
import { dial, serve } from './support/visit.js'
import { Endings, isEmpty } from './support/watch.js'

type Verify = (token: string, req: IncomingMessage) => unknown

interface Method {
	name: string
	with(verify: Verify): EvAuthenticationOptions
	/** The lines of a request that carry the token, or none. */
	send(token: string | undefined): { path?: string; lines?: string[] }
	/** A request with two tokens, and the one that verify gets, if it gets any. */
	twice: { path?: string; lines?: string[]; token: string | undefined }
}

const query = (token: string | undefined) => ({
	path: token === undefined ? '/?other=1' : `/?token=${token}`,
})
const header =
	(name: string, prefix = '') =>
	(token: string | undefined) => ({ lines: token === undefined ? [] : [`${name}: ${prefix}${token}`] })

const methods: Method[] = [
	{
		name: 'query',
		with: (verify) => ({ method: 'query', param: 'token', verify: verify as never }),
		send: query,
		twice: { path: '/?token=right&token=right', token: undefined },
	},
	{
		name: 'no method, which means query',
		with: (verify) => ({ param: 'token', verify: verify as never }),
		send: query,
		twice: { path: '/?token=right&token=wrong', token: undefined },
	},
	{
		name: 'header',
		with: (verify) => ({ method: 'header', param: 'X-Token', verify: verify as never }),
		send: header('x-token'),
		twice: { lines: ['X-Token: right', 'X-Token: wrong'], token: 'right, wrong' },
	},
	{
		name: 'header authorization, with Bearer',
		with: (verify) => ({ method: 'header', verify: verify as never }),
		send: header('Authorization', 'Bearer '),
		twice: { lines: ['Authorization: bearer right', 'Authorization: Bearer wrong'], token: 'right' },
	},
	{
		name: 'cookie',
		with: (verify) => ({ method: 'cookie', param: 'token', verify: verify as never }),
		send: (token) => ({ lines: [`Cookie: a=1; ${token === undefined ? 'tokens' : 'token'}=${token}; b=2`] }),
		twice: { lines: ['Cookie: token=right; token=wrong'], token: 'right' },
	},
	{
		name: 'custom',
		with: (verify) => ({
			method: 'custom',
			verify: (req) => {
				const token = new URL(req.url ?? '', 'http://localhost').searchParams.get('token')
				// It is up to a verify of its own what an empty token means.
				return token ? (verify(token, req) as boolean) : false
			},
		}),
		send: query,
		twice: { path: '/?token=right&token=wrong', token: 'right' },
	},
]

const DEFAULT = { code: 'EV_NOT_AUTHENTICATED', message: 'Authentication failed.' }

/** A server whose streams authenticate, listen to a channel that is sent to all the time, and say who they are. */
async function doorkeeper(authentication: EvAuthenticationOptions) {
	const errors: unknown[] = []
	const manager = new EvStreamManager({ onError: (error) => errors.push(error) })
	const answers = new AwaitableQueue<boolean | undefined>()
	const streams = new AwaitableQueue<EvManagedStream>()
	const endings = new Endings()
	const server = await serve(async (req, res) => {
		const stream = manager.createStream(req, res, { authentication })
		stream.onClose(endings.callback)
		streams.push(stream)
		const answer = await stream.authenticate()
		if (answer === true) {
			stream.listen('secret')
			stream.message({ event: 'hello', data: 'in' })
		}
		manager.send('secret', { data: 'of the channel' })
		answers.push(answer)
	})
	async function ask({ path = '/', lines = [] }: { path?: string; lines?: string[] } = {}) {
		const client = await dial(server, `GET ${path} HTTP/1.1`, 'Host: localhost', ...lines)
		return { client, answer: await answers.next() }
	}
	return { manager, errors, endings, streams, server, ask }
}

/** A 401 whose body is exactly one `error` event, on a connection that is over. */
async function expectRejected(
	client: Awaited<ReturnType<typeof dial>>,
	data: unknown = DEFAULT,
	event = 'error',
) {
	const payload = typeof data === 'string' ? data : JSON.stringify(data)
	const body = `event:${event}\ndata:${payload}\n\n`
	await client.has(body)
	const [head = '', ...rest] = client.text.split('\r\n\r\n')
	expect(head).toMatch(/^HTTP\/1\.1 401 Unauthorized\r\n/)
	expect(head).toMatch(/^content-type: text\/event-stream; charset=utf-8\r$/im)
	expect(head).toMatch(/^cache-control: no-store\r$/im)
	expect(rest.join('\r\n\r\n')).toBe(body)
}

describe.each(methods)('authentication by $name', (method) => {
	const verdict: Verify = (token) => token === 'right'

	it('lets the right token in', async () => {
		const { ask, manager } = await doorkeeper(method.with(async (token) => verdict(token, {} as never)))
		const { client, answer } = await ask(method.send('right'))
		expect(answer).toBe(true)
		await client.has('event:hello\ndata:in\n\n')
		await client.has('data:of the channel\n\n')
		expect(client.text).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
		expect(manager.stats()).toMatchObject({ connections: 1, listeners: 1 })
	})

	it('rejects a wrong one', async () => {
		const { ask, manager, endings } = await doorkeeper(method.with(verdict))
		const { client, answer } = await ask(method.send('wrong'))
		expect(answer).toBe(false)
		await expectRejected(client)
		expect(await endings.next()).toEqual({ channels: [], reason: 'unauthenticated' })
		expect(isEmpty(manager)).toBe(true)
	})

	it.each([
		['a missing one', undefined],
		['an empty one', ''],
	])('rejects %s without asking', async (_what, token) => {
		const asked: string[] = []
		const { ask } = await doorkeeper(method.with((seen) => void asked.push(seen)))
		const { client, answer } = await ask(method.send(token))
		expect(answer).toBe(false)
		await expectRejected(client)
		expect(asked).toEqual([])
	})

	it('never guesses between two', async () => {
		const asked: string[] = []
		const { ask } = await doorkeeper(method.with((token) => void asked.push(token)))
		const { client } = await ask(method.twice)
		await expectRejected(client)
		expect(asked).toEqual(method.twice.token === undefined ? [] : [method.twice.token])
	})

	it.each(['throws', 'rejects'])('rejects when verify %s, and tells only onError', async (how) => {
		const error = new Error('password of the database')
		const { ask, errors } = await doorkeeper(
			method.with(() => {
				if (how === 'throws') throw error
				return Promise.reject(error)
			}),
		)
		const { client, answer } = await ask(method.send('right'))
		expect(answer).toBe(false)
		await expectRejected(client)
		expect(errors).toEqual([error])
		expect(client.text).not.toContain('password')
	})
})

describe('verify', () => {
	it.each([undefined, null, false, 0, 1, 'true', 'yes', [], Number.NaN])(
		'rejects by giving %j',
		async (result) => {
			const { ask } = await doorkeeper({ method: 'custom', verify: () => result as never })
			const { client, answer } = await ask()
			expect(answer).toBe(false)
			expect(client.text).not.toContain('of the channel')
			await until(() => client.text.includes('event:error\n'))
			expect(client.text).toMatch(/^HTTP\/1\.1 401 /)
		},
	)

	it('rejects by giving a message, which the client gets in place of the default one', async () => {
		const { ask } = await doorkeeper({ method: 'custom', verify: () => ({ data: { why: 'expired' } }) })
		await expectRejected((await ask()).client, { why: 'expired' })
	})

	it('may name the event of its message', async () => {
		const { ask } = await doorkeeper({ method: 'custom', verify: () => ({ event: 'go-away', data: 'now' }) })
		await expectRejected((await ask()).client, 'now', 'go-away')
	})

	it('lets nobody in by a message that cannot be framed', async () => {
		const { ask, errors } = await doorkeeper({
			method: 'custom',
			verify: () => ({ event: 'a\nb', data: '' }),
		})
		const { client, answer } = await ask()
		expect(answer).toBe(false)
		await expectRejected(client, '')
		expect(errors).toEqual([expect.any(EvInvalidMessageError)])
	})
})

describe('a client that leaves while verify is asked', () => {
	it.each([true, false])(
		'has ended once, and nothing of it is left when verify answers %j',
		async (verdict) => {
			const manager = new EvStreamManager()
			const left = new AbortController()
			let decide: ((answer: boolean) => void) | undefined
			const verify = () =>
				new Promise<boolean>((resolve) => {
					decide = resolve
				})
			const { stream } = manager.createResponse(new Request('http://a/', { signal: left.signal }), {
				authentication: { method: 'custom', verify },
			})
			const endings = new Endings()
			stream.onClose(endings.callback)
			const answer = stream.authenticate()
			left.abort()
			expect(await endings.next()).toEqual({ channels: [], reason: 'disconnected' })
			decide?.(verdict)
			expect(await answer).toBe(false)
			expect(manager.stats()).toMatchObject({ connections: 0, ending: 0 })
			expect(endings.size).toBe(0)
		},
	)
})

describe('verify that is asked again and does not answer', () => {
	const authenticator = (verify: () => Promise<boolean>, errors: unknown[] = []) =>
		Authenticator.of({ method: 'custom', verify }, new WebRequest(new Request('http://a/')), (error) =>
			errors.push(error),
		)
	const never = () => new Promise<boolean>(() => {})

	it.each([
		[20, 1_000],
		[3_000, 3_000],
		[60_000, 10_000],
	])('every %i ms is waited for %i ms', async (interval, limit) => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
		onTestFinished(() => void vi.useRealTimers())
		const errors: unknown[] = []
		let verdict: unknown
		void authenticator(never, errors)
			?.judgeAgain(interval)
			.then((given) => {
				verdict = given
			})
		await vi.advanceTimersByTimeAsync(limit - 1)
		expect(verdict).toBeUndefined()
		await vi.advanceTimersByTimeAsync(1)
		expect(verdict).toBe('late')
		expect(errors).toEqual([expect.objectContaining({ code: 'EV_UNAVAILABLE' })])
	})

	it('does not keep the process alive, and no timer is left when it has answered', async () => {
		const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
		const before = timers()
		void authenticator(never)?.judgeAgain(5_000)
		expect(timers()).toBe(before)
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
		onTestFinished(() => void vi.useRealTimers())
		expect(await authenticator(async () => true)?.judgeAgain(5_000)).toBe(true)
		expect(vi.getTimerCount()).toBe(0)
	})
})

describe('a revalidation', () => {
	/** A web stream that is let in; from then on a test answers. */
	async function letIn() {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
		onTestFinished(() => void vi.useRealTimers())
		const answers: ((answer: boolean) => void)[] = []
		const verify = () => new Promise<boolean>((resolve) => answers.push(resolve))
		const manager = new EvStreamManager({ onError: () => {}, keepAlive: false })
		const { stream, response } = manager.createResponse(new Request('http://a/'), {
			authentication: { method: 'custom', verify, revalidate: 2_000 },
		})
		const entry = stream.authenticate()
		answers[0]?.(true)
		expect(await entry).toBe(true)
		return { stream, text: (await response).text(), answers }
	}

	it('that is late ends the stream without the event end, so that the client comes back', async () => {
		const { stream, text, answers } = await letIn()
		await vi.advanceTimersByTimeAsync(2_000)
		expect(answers).toHaveLength(2)
		await vi.advanceTimersByTimeAsync(2_000)
		expect(stream.closed).toBe(true)
		expect(await text).not.toContain('event:')
	})

	it('that says no ends the stream with the event end', async () => {
		const { text, answers } = await letIn()
		await vi.advanceTimersByTimeAsync(2_000)
		answers[1]?.(false)
		expect(await text).toContain('event:end')
	})

	it('that is answered after the stream has ended is the last one', async () => {
		const { stream, text, answers } = await letIn()
		await vi.advanceTimersByTimeAsync(2_000)
		stream.close()
		answers[1]?.(true)
		await text
		await vi.advanceTimersByTimeAsync(0)
		expect(vi.getTimerCount()).toBe(0)
		await vi.advanceTimersByTimeAsync(10_000)
		expect(answers).toHaveLength(2)
	})

	it('leaves nothing behind, however often it comes', async () => {
		const deadlines: WeakRef<Timed>[] = []
		class WatchedTimers extends Timers {
			override add(timed: Timed, due: number): void {
				if (timed instanceof Deadline) deadlines.push(new WeakRef(timed))
				super.add(timed, due)
			}
		}
		const request = new WebRequest(new Request('http://a/'))
		const authentication = { method: 'custom', verify: () => true, revalidate: 5 } as const
		const timers = new WatchedTimers()
		const stream = new Stream({
			settings: connectionSettings({}),
			timers,
			authenticator: Authenticator.of(authentication, request, () => {}),
			connect: (owner) => new WebTransport(request.raw, owner),
		})
		stream.start(undefined)
		expect(await stream.admit()).toBe(true)
		await until(() => deadlines.length > 5)
		await forgotten(() => {})
		await until(() => deadlines.slice(0, 4).every((deadline) => deadline.deref() === undefined))
		stream.end('closed')
		expect(timers.size).toBe(1)
	})
})

describe('a web client that is not let in', () => {
	it.each<[string, number, string | null, (stream: EvManagedStream) => unknown]>([
		['verify says no', 401, 'text/event-stream; charset=utf-8', (stream) => stream.authenticate()],
		['the app closes the stream before', 204, null, (stream) => stream.close()],
	])('gets an answer, and nothing of it is left: %s', async (_why, status, type, act) => {
		const manager = new EvStreamManager()
		const authentication = { method: 'custom', verify: () => false } as const
		const { stream, response } = manager.createResponse(new Request('http://a/'), { authentication })
		await act(stream)
		const { status: given, headers } = await response
		expect(given).toBe(status)
		expect(headers.get('content-type')).toBe(type)
		expect(manager.stats()).toMatchObject({ connections: 0, ending: 0 })
	})
})

/** What must not compile. Each `@ts-expect-error` is an error of its own if the line below it compiles. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type EvMessage, EvStreamManager, Evstream } from '../src/index.js'

declare const req: IncomingMessage
declare const res: ServerResponse

interface Channels {
	news: { title: string }
	count: number
}

export async function typedChannels(): Promise<void> {
	const manager = new EvStreamManager<Channels>()
	manager.send('news', { event: 'news', data: { title: 'a' } })
	manager.send('count', { data: 1 }, { except: 'id', filter: (stream) => !stream.closed })
	// @ts-expect-error the payload of another channel
	manager.send('news', { data: 1 })
	// @ts-expect-error a part of the payload is missing
	manager.send('news', { data: {} })
	// @ts-expect-error a part of the payload is too much
	manager.send('news', { data: { title: 'a', body: 'b' } })
	// @ts-expect-error no payload
	manager.send('count', { event: 'a' })
	// @ts-expect-error an unknown channel
	manager.send('sports', { data: 1 })
	// @ts-expect-error an unknown option
	manager.send('count', { data: 1 }, { only: 'id' })

	const { listen, unlisten } = manager.createStream(req, res)
	listen('news', { last: 5 })
	unlisten('news')
	// @ts-expect-error an unknown channel
	listen('sports')
	// @ts-expect-error an unknown channel
	unlisten('sports')
	// @ts-expect-error an unknown option
	listen('news', { first: 5 })

	const id: string | undefined = await manager.send('count', { data: 1 })
	// @ts-expect-error the id is not a number
	const wrong: number = await manager.send('count', { data: 1 })
	void [id, wrong]
}

export function untypedChannels(): void {
	const manager = new EvStreamManager()
	manager.send('anything', { data: Symbol.iterator })
	manager.createStream(req, res).listen('anything')
	// @ts-expect-error a name is a string
	manager.send(5, { data: 1 })
	// @ts-expect-error an option of the wrong type
	new EvStreamManager({ maxConnection: '5000' })
	// @ts-expect-error a retention without its size
	new EvStreamManager({ history: { ttl: 1000 } })
	// @ts-expect-error drainMs is a number
	manager.close({ drainMs: '1s' })
}

export function messages(stream: Evstream): void {
	const sent: boolean = stream.message({ event: 'a', id: '1', retry: 5, data: null })
	void sent
	// @ts-expect-error a message is an object
	stream.message('text')
	// @ts-expect-error no data
	stream.message({ event: 'a' })
	// @ts-expect-error an id is a string
	stream.message({ id: 5, data: '' })
	// @ts-expect-error retry is a number
	stream.message({ retry: '5', data: '' })
	// @ts-expect-error an unknown field
	stream.message({ name: 'a', data: '' })
	const typed: EvMessage<number> = { data: 1 }
	// @ts-expect-error data of another type
	typed.data = 'a'
	void stream.from(['a', { data: 1 }])
	// @ts-expect-error numbers are neither messages nor strings
	void stream.from([1])
	// @ts-expect-error closed is read-only
	stream.closed = true
	stream.onClose((channels, reason) => void [channels.length, reason === 'shutdown'])
	// @ts-expect-error not a reason
	stream.onClose((_channels, reason) => void (reason === 'bored'))
	// @ts-expect-error not a function
	stream.close('bye')
}

export async function authentication(): Promise<void> {
	const verify = (token: string) => token === 'a'
	new Evstream(req, res, { authentication: { param: 'token', verify } })
	new Evstream(req, res, { authentication: { method: 'header', verify } })
	// What verify gets is known without being written down, also when the method is left out.
	new Evstream(req, res, { authentication: { param: 'a', verify: async (token) => token.startsWith('a') } })
	new Evstream(req, res, { authentication: { method: 'header', verify: (token, { url }) => token === url } })
	new Evstream(req, res, { authentication: { method: 'custom', verify: ({ headers }) => 'a' in headers } })
	// @ts-expect-error no verify
	new Evstream(req, res, { authentication: { method: 'query', param: 'token' } })
	// @ts-expect-error no param
	new Evstream(req, res, { authentication: { method: 'cookie', verify } })
	// @ts-expect-error the name of a header is a string
	new Evstream(req, res, { authentication: { method: 'header', param: ['a'], verify } })
	// @ts-expect-error an unknown method
	new Evstream(req, res, { authentication: { method: 'body', param: 'token', verify } })
	// @ts-expect-error a custom verify gets the request, not a token
	new Evstream(req, res, { authentication: { method: 'custom', verify } })
	// @ts-expect-error verify gives neither a boolean nor a message
	new Evstream(req, res, { authentication: { param: 'token', verify: () => 'yes' } })
	// @ts-expect-error revalidate is a number of ms
	new Evstream(req, res, { authentication: { param: 'token', verify, revalidate: true } })
	// @ts-expect-error there may be no answer: undefined without authentication
	const answer: boolean = await new Evstream(req, res).authenticate()
	void answer
}

export function options(): void {
	new Evstream(req, res, { heartbeat: 1, keepAlive: false, slow: 'drop', maxAge: 1, maxBuffer: 1 })
	// @ts-expect-error keepAlive is a number or false
	new Evstream(req, res, { keepAlive: true })
	// @ts-expect-error an unknown policy
	new Evstream(req, res, { slow: 'wait' })
	// @ts-expect-error an unknown option
	new Evstream(req, res, { hartbeat: 5000 })
	// @ts-expect-error no response
	new Evstream(req)
}

export async function web(request: Request): Promise<void> {
	const manager = new EvStreamManager()
	const open: Response = manager.createResponse(request).response
	const gate = manager.createResponse(request, {
		authentication: { method: 'custom', verify: ({ headers }) => headers.has('a') },
	})
	const decided: Response = await gate.response
	// @ts-expect-error with authentication the response is a promise
	const early: Response = gate.response
	void [open, decided, early]
}

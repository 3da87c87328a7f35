/** What must not compile. Each `@ts-expect-error` is an error of its own if the line below it compiles. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type EvData, type EvMessage, EvStreamManager, Evstream } from '../src/index.js'

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

interface Rooms {
	red: { text: string }
	blue: { text: string }
	green: { text: string; by: string }
	open: boolean
	maybe: string | undefined
	nothing: undefined
	either: 'a' | { b: number }
}

export function unionsOfNames(manager: EvStreamManager<Rooms>): void {
	const alike = Math.random() < 0.5 ? 'red' : 'blue'
	manager.send(alike, { data: { text: 'a' } })
	const wider = Math.random() < 0.5 ? 'red' : 'green'
	const both = { text: 'a', by: 'b' }
	manager.send(wider, { data: both })
	// @ts-expect-error enough for red, but not for green
	manager.send(wider, { data: { text: 'a' } })
	const apart = Math.random() < 0.5 ? 'red' : 'open'
	// @ts-expect-error right for red only
	manager.send(apart, { data: { text: 'a' } })
	// @ts-expect-error right for open only
	manager.send(apart, { data: true })
	// @ts-expect-error not one of all names takes a number
	manager.send<keyof Rooms>('red', { data: 1 })
	// A payload that is a union itself is no union of names.
	manager.send('either', { data: 'a' })
	manager.send('either', { data: { b: 1 } })
	manager.send('open', { data: Math.random() < 0.5 })
	const source = manager.provide(wider, {})
	source.broadcast({ data: { text: 'a', by: 'b' } })
	// @ts-expect-error enough for red, but not for green
	source.broadcast({ data: { text: 'a' } })
}

/** A function of the app that passes name and data on. */
export function publish<Name extends keyof Channels>(
	manager: EvStreamManager<Channels>,
	name: Name,
	data: Channels[Name],
): void {
	manager.send(name, { event: name, data })
}

export function noData(manager: EvStreamManager<Rooms>, untyped: EvStreamManager, stream: Evstream): void {
	// @ts-expect-error undefined has no JSON form
	stream.message({ data: undefined })
	// @ts-expect-error undefined has no JSON form
	untyped.send('a', { data: undefined })
	// @ts-expect-error undefined has no JSON form
	void untyped.to('id', { data: undefined })
	manager.send('maybe', { data: 'a' })
	// @ts-expect-error undefined has no JSON form, though the channel names it
	manager.send('maybe', { data: undefined })
	// @ts-expect-error a channel of undefined has no messages
	manager.send('nothing', { data: undefined })
	// @ts-expect-error undefined has no JSON form
	const message: EvMessage<undefined> = { data: undefined }
	const optional: { text?: string } = {}
	// @ts-expect-error it may be undefined
	stream.message({ data: optional.text })
	stream.message({ data: optional.text ?? null })
	const any: EvData = JSON.parse('1')
	stream.message({ data: any })
	void message
}

export function provided(manager: EvStreamManager<Channels>, untyped: EvStreamManager): void {
	const source = manager.provide('news', { snapshot: () => ({ event: 'news', data: { title: 'a' } }) })
	source.broadcast({ data: { title: 'b' } })
	// @ts-expect-error the payload of another channel
	source.broadcast({ data: 1 })
	// @ts-expect-error the payload of another channel
	manager.provide('news', { snapshot: () => ({ data: 1 }) })
	// @ts-expect-error an unknown channel
	manager.provide('sports', {})
	manager.provide('count', { snapshot: () => undefined })
	untyped.provide('anything', { snapshot: () => ({ data: [1] }) }).broadcast({ data: 'a' })
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
	// A callback may return anything.
	const set = new Set<Evstream>()
	stream.onClose(() => set.delete(stream))
	stream.onClose(async () => set.size)
	stream.close(() => set.delete(stream))
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

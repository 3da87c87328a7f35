import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { listen } from '../src/listen.js'
import { createProxy, type Target } from '../src/proxy.js'

describe('the proxy', () => {
	const servers: Server[] = []
	const start = (server: Server) => {
		servers.push(server)
		return listen(server, 0, '127.0.0.1')
	}
	const target = async (name: string, handler?: RequestListener): Promise<Target> => ({
		name,
		port: await start(createServer(handler ?? ((_req, res) => void res.end(name)))),
	})
	const proxy = async (...targets: Target[]) => `http://127.0.0.1:${await start(createProxy(() => targets))}`

	afterEach(() => {
		for (const server of servers.splice(0)) {
			server.closeAllConnections()
			server.close()
		}
	})

	it('takes turns, for streams apart from the rest', async () => {
		const url = await proxy(await target('a'), await target('b'), await target('c'))
		const seen: string[] = []
		for (const path of ['/events', '/', '/', '/events', '/', '/events?x', '/events']) {
			seen.push(await (await fetch(url + path)).text())
		}
		expect(seen).toEqual(['a', 'a', 'b', 'b', 'c', 'c', 'a'])
	})

	it('grants a wish for an instance', async () => {
		const url = await proxy(await target('a'), await target('b'))
		for (let turn = 0; turn < 3; turn++) {
			expect(await (await fetch(url, { headers: { 'x-instance': 'b' } })).text()).toBe('b')
		}
		expect(await (await fetch(url, { headers: { 'x-instance': 'gone' } })).text()).toBe('a')
	})

	it('hands on method, path, headers, body, status, and the answer as it comes', async () => {
		const url = await proxy(
			await target('a', async (req, res) => {
				res.writeHead(201, { 'x-seen': `${req.method} ${req.url} ${req.headers['x-mine']}` })
				for await (const chunk of req) res.write(chunk)
				res.end('!')
			}),
		)
		const answer = await fetch(`${url}/path?q=1`, {
			method: 'POST',
			headers: { 'x-mine': 'yes' },
			body: 'body',
		})
		expect(answer.status).toBe(201)
		expect(answer.headers.get('x-seen')).toBe('POST /path?q=1 yes')
		expect(await answer.text()).toBe('body!')
	})

	it('tries the next instance when one does not answer', async () => {
		const gone = await target('gone')
		servers.pop()?.close()
		const url = await proxy(gone, await target('b'))
		for (let turn = 0; turn < 3; turn++) {
			const answer = await fetch(url, { method: 'POST', body: 'kept' })
			expect(await answer.text()).toBe('b')
		}
	})

	it('cuts the client off when the instance dies in the middle', async () => {
		let die = () => {}
		const url = await proxy(
			await target('dying', (req, res) => {
				die = () => req.socket.destroy()
				res.write('begun')
			}),
		)
		const reader = (await fetch(url)).body?.getReader()
		await reader?.read()
		die()
		await expect(reader?.read()).rejects.toThrow()
	})

	it('cuts the client off when there is no instance, because a browser gives up after an error status', async () => {
		await expect(fetch(await proxy())).rejects.toThrow()
	})

	it('tells the instance when the client leaves', async () => {
		let left: Promise<unknown> | undefined
		const url = await proxy(
			await target('a', (_req, res) => {
				left = once(res, 'close')
				res.write('begun')
			}),
		)
		const reader = (await fetch(url)).body?.getReader()
		await reader?.read()
		await reader?.cancel()
		await left
	})
})

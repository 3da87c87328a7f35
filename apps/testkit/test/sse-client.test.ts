import { connect } from 'node:http2'
import { expect, onTestFinished, test } from 'vitest'
import { listenHttp, openSse, testTls, until } from '../src/index.js'

test('parses events and comments, and next goes on after the last match', async () => {
	const server = await listenHttp((_, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' })
		res.write(':hi\n\nid:1\ndata:a\n\nevent:tick\ndata:\n\ndata:b\n\n')
	})
	onTestFinished(() => server.close())
	const client = await openSse(server.url)
	expect(client.status).toBe(200)
	expect(client.headers['content-type']).toBe('text/event-stream')
	expect(await client.next('message')).toEqual({ event: 'message', id: '1', data: 'a' })
	expect(await client.next('message')).toEqual({ event: 'message', id: undefined, data: 'b' })
	expect(client.comments).toEqual(['hi'])
	expect(client.events.map(({ event }) => event)).toEqual(['message', 'tick', 'message'])
	expect(client.raw).toContain('event:tick\ndata:\n\n')
	await expect(client.next('never', 20)).rejects.toThrow('never')
	const waiting = client.next('never')
	client.close()
	await expect(waiting).rejects.toThrow('The stream ended')
	await client.closed
})

test('gives the status of a refusal, and the server sees a client that leaves', async () => {
	let left = false
	const server = await listenHttp((req, res) => {
		res.on('close', () => {
			left = true
		})
		res.writeHead(req.headers.authorization ? 200 : 401).flushHeaders()
	})
	onTestFinished(() => server.close())
	const refused = await openSse(server.url)
	expect(refused.status).toBe(401)
	refused.close()
	await until(() => left)
	const client = await openSse(server.url, { headers: { authorization: 'x' } })
	expect(client.status).toBe(200)
	await server.close()
	await client.closed
})

test('listens with TLS, and with HTTP/2', async () => {
	const tls = await listenHttp((_, res) => res.end('data:x\n\n'), { https: true })
	const h2 = await listenHttp((_, res) => res.end('two'), { http2: true, https: true })
	onTestFinished(() => tls.close())
	onTestFinished(() => h2.close())
	const client = await openSse(tls.url)
	expect((await client.next()).data).toBe('x')

	const session = connect(h2.url, { ca: testTls.cert })
	const stream = session.request({ ':path': '/' }).setEncoding('utf8')
	let body = ''
	for await (const text of stream) body += text
	session.destroy()
	expect(body).toBe('two')
})

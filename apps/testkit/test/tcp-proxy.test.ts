import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AwaitableQueue, startTcpProxy, type TcpProxy, until } from '../src/index.js'

const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket))
let proxy: TcpProxy
let client: Socket
let received: AwaitableQueue<string>

beforeEach(async () => {
	if (!echo.listening) await once(echo.listen(0, '127.0.0.1'), 'listening')
	const { port } = echo.address() as AddressInfo
	proxy = await startTcpProxy({ host: '127.0.0.1', port })
	client = dial()
	await once(client, 'connect')
})

afterEach(async () => {
	client.destroy()
	await proxy.close()
})

function dial(): Socket {
	const socket = connect(proxy.port, '127.0.0.1').on('error', () => {})
	const queue = new AwaitableQueue<string>()
	received = queue
	socket.on('data', (chunk) => queue.push(chunk.toString()))
	return socket
}

test('passes bytes in both directions and counts connections', async () => {
	client.write('hello')
	expect(await received.next()).toBe('hello')
	expect(proxy.connections).toBe(1)
	expect(proxy.url()).toBe(`redis://127.0.0.1:${proxy.port}`)
})

test('cut destroys the current connections, new ones work', async () => {
	const closed = once(client, 'close')
	await until(() => proxy.connections === 1)
	proxy.cut()
	await closed
	client = dial()
	client.write('again')
	expect(await received.next()).toBe('again')
})

test('refuse closes new connections and leaves the old ones', async () => {
	await until(() => proxy.connections === 1)
	proxy.refuse(true)
	const queue = received
	const second = dial()
	await once(second, 'close')
	client.write('still here')
	expect(await queue.next()).toBe('still here')
})

test('a black hole keeps connections open and passes what it held when it ends', async () => {
	await until(() => proxy.connections === 1)
	proxy.blackhole(true)
	client.write('held')
	await expect(received.next(50)).rejects.toThrow()
	expect(client.destroyed).toBe(false)
	proxy.blackhole(false)
	expect(await received.next()).toBe('held')
})

test('delay is applied in each direction and keeps the order, even when it shrinks', async () => {
	await until(() => proxy.connections === 1)
	let text = ''
	client.on('data', (chunk) => {
		text += chunk.toString()
	})
	proxy.delay(50)
	const start = performance.now()
	client.write('a')
	await expect(received.next(40)).rejects.toThrow()
	proxy.delay(0)
	client.write('b')
	await until(() => text === 'ab')
	expect(performance.now() - start).toBeGreaterThan(45)
})

test('freeze makes current connections half-open, new ones work', async () => {
	await until(() => proxy.connections === 1)
	proxy.freeze()
	client.write('lost')
	await expect(received.next(30)).rejects.toThrow()
	client.destroy()
	client = dial()
	client.write('new')
	expect(await received.next()).toBe('new')
})

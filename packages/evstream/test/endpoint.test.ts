import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { EvStreamManager } from 'evstream'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { httpServer } from './recipes/http.js'
import { readEvents } from './recipes/read-events.js'

let manager: EvStreamManager
let url: string
let server: ReturnType<typeof httpServer>

beforeEach(async () => {
	manager = new EvStreamManager({ history: { size: 100 } })
	server = httpServer(manager).listen(0, '127.0.0.1')
	await once(server, 'listening')
	url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`
})

afterEach(async () => {
	await manager.close()
	server.close()
	server.closeAllConnections()
})

it('gives a listener what is sent after it came', async () => {
	const reading = readEvents(url, 2)
	await vi.waitFor(() => expect(manager.stats().listeners).toBe(1))
	await manager.send('news', { event: 'news', data: { n: 1 } })
	const [position, news] = await reading
	expect(position?.event).toBe('position')
	expect(news).toMatchObject({ event: 'news', data: '{"n":1}' })
})

it('gives a client that comes back what it missed', async () => {
	const [position] = await readEvents(url, 1)
	await manager.send('news', { event: 'news', data: 'missed' })
	const [news] = await readEvents(url, 1, { 'Last-Event-ID': String(position?.id) })
	expect(news).toMatchObject({ event: 'news', data: 'missed' })
})

it('forgets a client that leaves', async () => {
	await readEvents(url, 1)
	await vi.waitFor(() => expect(manager.stats()).toMatchObject({ connections: 0, listeners: 0 }))
})

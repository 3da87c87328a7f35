import { describe, expect, it } from 'vitest'
import { get, openRaw } from './support/raw-client.js'
import { serve } from './support/streams-server.js'

describe('the connection header', () => {
	it('of the app survives: a server that drains its connections says close', async () => {
		const { port, streams } = await serve({}, { before: (_req, res) => res.setHeader('Connection', 'close') })
		const client = await openRaw(port, get())
		const { stream } = await streams.next()
		stream.close()
		await client.ended
		expect(client.head).toMatch(/^connection: close\r$/im)
		expect(client.complete).toBe(true)
	})
})

import { until } from '@evstream/testkit'
import { expect, it } from 'vitest'
import { type CountingClient, countBytes } from './support/count-bytes.js'
import { serve } from './support/streams-server.js'
import { holdSocket, nextTurn } from './support/streams-slow.js'

const CLIENTS = 1_000
const SLOW = 200
const PER_TURN = 30
const TURNS = 12

it('200 slow clients among 1,000 cost bounded memory, and the others lose nothing', async () => {
	const maxBuffer = 65_536
	const { url, manager, streams } = await serve({ maxBuffer })
	const fast: CountingClient[] = []
	for (let n = 0; n < CLIENTS; n++) {
		const client = await countBytes(`${url}/?channel=a`)
		const { res } = await streams.next()
		// Every fifth has a line that takes nothing any more.
		if (n % (CLIENTS / SLOW) === 0) holdSocket(res)
		else fast.push(client)
	}
	let most = 0
	let bytes = 0
	for (let turn = 0; turn < TURNS; turn++) {
		for (let n = 0; n < PER_TURN; n++) {
			const data = `${'x'.repeat(1_000)} ${turn * PER_TURN + n}`
			manager.send('a', { data })
			bytes += `data:${data}\n\n`.length
		}
		await nextTurn()
		most = Math.max(most, manager.stats().bufferedBytes)
		await until(() => fast.every((client) => client.bytes >= bytes))
	}
	expect(most).toBeGreaterThan(0)
	// Of each slow one maxBuffer, and of every one what a turn brought.
	expect(most).toBeLessThanOrEqual(SLOW * maxBuffer + CLIENTS * PER_TURN * 1_020)
	expect(manager.stats()).toMatchObject({
		connections: CLIENTS - SLOW,
		slowDisconnects: SLOW,
		bufferedBytes: 0,
	})
	for (const client of fast) {
		expect(client.bytes).toBe(bytes)
		expect(client.last).toMatch(/x 359\n\n$/)
	}
})

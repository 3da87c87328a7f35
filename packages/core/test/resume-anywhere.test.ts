import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { connect } from './support/serve.js'
import { serve } from './support/streams-server.js'
import { valve } from './support/valve.js'

const seqOf = (id: string | undefined): number => Number(id?.slice(id.lastIndexOf('-') + 1) ?? Number.NaN)

interface Seen {
	event: string
	id: string | undefined
	data: string
}

/**
 * Where a client must not be cut: an event gave it an id although something up to that id had not come yet, so it
 * would never get that. `sent` are the ids of everything the client listens to, after the one it came with; `latest`
 * is the channel it listened to last.
 */
function unsafeCuts(events: readonly Seen[], sent: readonly string[], latest: string): string[] {
	const missing = new Set(sent.map(seqOf))
	const unsafe: string[] = []
	// Until a channel's replay begins the client has a position of the others only.
	let began = false
	for (const { event, id } of events) {
		if (id === undefined) continue
		began ||= event === latest
		if (event !== 'position') missing.delete(seqOf(id))
		if (!began) continue
		const lost = [...missing].filter((seq) => seq <= seqOf(id))
		if (lost.length > 0) unsafe.push(`after ${event} ${seqOf(id)}: ${lost.length} lost, from ${lost[0]}`)
	}
	return unsafe
}

describe('a client that comes back may be cut anywhere and misses nothing', () => {
	/** Messages that wait for the client, on two channels in turn; more than one page of the log. */
	const MISSED = 2_500

	it.each([['listens to all channels in one tick', [['c', 'b', 'a']]]])('when it %s', async (_, ticks) => {
		const { manager, url, streams } = await serve({ history: { size: 10_000 } })
		const start = await manager.send('other', { data: '' })
		const sent: string[] = []
		const send = async (channel: string) => {
			sent.push((await manager.send(channel, { event: channel, data: 'x'.repeat(40) })) ?? '')
		}
		for (let n = 0; n < MISSED; n++) await send(n % 2 === 0 ? 'a' : 'b')

		const client = await connect(url, { headers: { 'last-event-id': start ?? '' } })
		const { stream, res } = await streams.next()
		if (res.socket === null) throw new Error('The response has no socket')
		await nextTurn()
		const { step, open } = valve(res.socket)
		const waiting = [...ticks]
		// The client takes a piece now and then; meanwhile all channels go on, and it listens to more of them.
		for (let turn = 0; turn < 60; turn++) {
			if (turn % 4 === 0) for (const channel of waiting.shift() ?? []) stream.listen(channel)
			await nextTurn()
			for (const channel of ['c', 'b', 'a']) await send(channel)
			if (turn % 3 === 0) step()
		}
		open()
		await send('c')
		manager.send('c', { event: 'end', data: '' })
		await client.next('end')
		expect(unsafeCuts(client.events, sent, ticks.at(-1)?.at(-1) ?? '').slice(0, 5)).toEqual([])
		expect(client.events.filter(({ event }) => event === 'reset')).toEqual([])
		// And what it got is everything, in the order of each channel, once.
		for (const channel of ['a', 'b', 'c']) {
			const seqs = client.events.filter(({ event }) => event === channel).map(({ id }) => seqOf(id))
			expect(seqs).toEqual([...new Set(seqs)].sort((one, other) => one - other))
		}
		expect(new Set(client.events.flatMap(({ event, id }) => (/^[abc]$/.test(event) ? [id] : []))).size).toBe(
			sent.length,
		)
	})
})

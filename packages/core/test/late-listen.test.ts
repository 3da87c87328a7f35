import { until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import type { EvManagedStream } from '../src/index.js'
import { connect } from './support/serve.js'
import { serve } from './support/streams-server.js'

const MISSED = 20_000
const data = 'x'.repeat(1_000)

describe('a client that comes back and listens to a channel in a later tick', () => {
	it('loses nothing when it is cut while that channel is replayed and another one is live', async () => {
		const { manager, url, streams } = await serve({ history: { size: MISSED } })
		const start = await manager.send('other', { data: '' })
		for (let n = 0; n < MISSED; n++) manager.send('missed', { event: 'missed', data })

		/** A visit that goes on until `enough`; the ids of what it got of the channel, and the last id of all. */
		async function visit(lastEventId: string, listen: (stream: EvManagedStream) => unknown, enough: string) {
			const client = await connect(url, { headers: { 'last-event-id': lastEventId } })
			client.pause()
			const { stream } = await streams.next()
			await listen(stream)
			client.resume()
			await client.next(enough, 15_000)
			// What a browser has is what it dispatched until then.
			const seen = client.events.slice(0, client.events.findIndex(({ event }) => event === enough) + 1)
			client.close()
			const ids = seen.filter(({ event }) => event === 'missed').map(({ id }) => id)
			return { ids, last: seen.at(-1)?.id ?? '', resets: seen.filter(({ event }) => event === 'reset') }
		}

		const first = await visit(
			start ?? '',
			async (stream) => {
				stream.listen('live')
				await new Promise((resolve) => setImmediate(resolve))
				stream.listen('missed')
				// More than the kernel takes is missed: the replay waits for the client in the middle.
				await until(() => manager.stats().bufferedBytes > 0)
				manager.send('live', { event: 'live', data: '' })
			},
			'live',
		)
		const second = await visit(
			first.last,
			(stream) => {
				stream.listen('live')
				stream.listen('missed')
				manager.send('live', { event: 'end', data: '' })
			},
			'end',
		)
		const got = new Set([...first.ids, ...second.ids])
		expect({ got: got.size, resets: second.resets.length > 0 }).toSatisfy(
			({ got, resets }) => got === MISSED || resets,
		)
	})
})

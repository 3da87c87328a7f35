import { describe, expect, it } from 'vitest'
import { connect } from './support/serve.js'
import { serve } from './support/streams-server.js'

describe('a channel that keeps nothing', () => {
	it('resets nobody who listens to others only, although one of them is new', async () => {
		const { manager, url } = await serve({ history: { size: 10, channels: { fleeting: false } } })
		const start = await manager.send('kept', { data: '0' })
		for (let n = 1; n <= 3; n++) {
			manager.send('fleeting', { data: '' })
			manager.send('kept', { data: String(n) })
		}
		const client = await connect(`${url}/?channel=kept&channel=new`, {
			headers: { 'last-event-id': start ?? '' },
		})
		manager.send('new', { event: 'end', data: '' })
		await client.next('end')
		expect(client.events.map(({ event, data }) => `${event} ${data}`)).toEqual([
			'message 1',
			'message 2',
			'message 3',
			'position ',
			'end ',
		])
	})
})

import { expect, it } from 'vitest'
import { connect } from './support/serve.js'
import { serve } from './support/streams-server.js'

it('without history the id of a message goes out as it is, however it is sent', async () => {
	const { manager, url, streams } = await serve()
	const client = await connect(`${url}/?channel=a`)
	const { stream } = await streams.next()
	expect(await manager.send('a', { id: 'channel é', data: '' })).toBe('channel é')
	expect(await manager.send('a', { id: '', data: '' })).toBe('')
	expect(await manager.send('a', { data: '' })).toBeUndefined()
	await manager.to(stream.id, { id: ' to', data: '' })
	stream.message({ id: 'direct', event: 'end', data: '' })
	await client.next('end')
	expect(client.raw).toBe(
		'id:channel é\ndata:\n\nid:\ndata:\n\ndata:\n\nid:  to\ndata:\n\nevent:end\nid:direct\ndata:\n\n',
	)
})

/** Everybody comes back at once and missed something: how much longer that takes than accepting them. */
import { ReconnectLab } from '../reconnect/lab.js'

/** @type {import('../types.js').Case} */
export const reconnect = {
	name: 'reconnect',
	title: 'Reconnect: 10,000 clients at once, 100 missed messages of 100 B each on 5 channels',
	contenders: ['bare-http', 'evstream'],
	baseline: 'bare-http',
	metrics: [
		{ key: 'p50', label: 'p50 ms', digits: 0, ratio: true },
		{ key: 'p99', label: 'p99 ms', digits: 0, ratio: true },
		{ key: 'max', label: 'max ms', digits: 0 },
	],
	sizes: {
		full: { connections: 10_000, messages: 100, channels: 5 },
		quick: { connections: 500, messages: 100, channels: 5 },
	},
	async measure(_open, { connections, messages = 0, channels = 0 }, contender) {
		const lab = new ReconnectLab(contender)
		try {
			return await lab.comeBack({ count: connections, missed: messages, channels, bytes: 100 })
		} finally {
			await lab.close()
		}
	},
}

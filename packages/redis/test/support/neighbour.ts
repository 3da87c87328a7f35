import { EvStreamManager } from '@evstream/core'
import type { TestRedis } from '@evstream/testkit'
import { EvRedisAdapter } from '../../src/index.js'

/** Publishes on the same names in another database of the server: nobody of the fleet may hear of it. */
export function publishBeside(
	{ host, port }: TestRedis,
	namespace: string,
	channels: readonly string[],
): { close(): Promise<void> } {
	const onError = (): void => {}
	const adapter = new EvRedisAdapter({ host, port, db: 1 }, { namespace, onError })
	const manager = new EvStreamManager({ adapter, history: { size: 100 }, onError })
	let number = 0
	const timer = setInterval(() => {
		const channel = channels[number % channels.length] ?? ''
		manager.send(channel, { event: channel, data: `neighbour ${++number}` }).catch(() => {})
	}, 20)
	return {
		async close() {
			clearInterval(timer)
			await manager.close()
			await adapter.close()
		},
	}
}

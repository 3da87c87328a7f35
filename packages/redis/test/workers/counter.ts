/**
 * One instance in a process of its own. Arguments: URL, namespace, lanes, changes per lane. Counts up, tells how many
 * changes were confirmed and rejected, then answers each message with its value until the parent disconnects.
 */
import { EvStreamManager } from '@evstream/core'
import { EvState } from '@evstream/state'
import { EvRedisAdapter } from '../../src/index.js'

const [url = '', namespace = '', lanes = '1', changes = '1'] = process.argv.slice(2)
const onError = (): void => {}
const adapter = new EvRedisAdapter(url, { namespace, onError })
const state = new EvState({
	channel: 'counter',
	initialValue: 0,
	manager: new EvStreamManager(),
	adapter,
	onError,
	checkInterval: 1000,
})

let confirmed = 0
const rejected: string[] = []

async function lane(): Promise<void> {
	for (let n = 0; n < Number(changes); n++) {
		try {
			await state.set((value) => value + 1)
			confirmed++
		} catch (error) {
			rejected.push(String(error))
		}
	}
}

process.on('message', () => process.send?.({ value: state.get(), version: state.version }))
process.on('disconnect', () => {
	state.close()
	void adapter.close()
})

await state.ready
process.send?.({ ready: true })
await new Promise((resolve) => process.once('message', resolve))
await Promise.all(Array.from({ length: Number(lanes) }, lane))
process.send?.({ confirmed, rejected })

import { EvRedisAdapter } from 'evstream/adapter/redis'
import { onStop } from './listen.js'
import { serve } from './serve.js'

/** One process of `--instances N`, started by cluster.ts. Tells its parent the port it listens on. */

const {
	DEMO_INSTANCE: instance,
	DEMO_REDIS: url = '',
	DEMO_NAMESPACE: namespace = 'evstream-demo',
} = process.env

const adapter = new EvRedisAdapter(url, { namespace })
const served = await serve({
	port: 0,
	host: '127.0.0.1',
	adapter,
	instance,
	// Sooner than a killed instance is back: its clients go to another one.
	retry: 1_000,
	// As hard as it can be done from inside: no clean-up runs, no goodbye is sent.
	kill: () => process.exit(1),
})
onStop(async () => {
	await served.close()
	await adapter.close()
})
process.send?.({ port: served.port })

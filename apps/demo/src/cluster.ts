import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { startRedis } from '@evstream/testkit'
import { listen } from './listen.js'
import { createProxy, type Target } from './proxy.js'
import type { Served } from './serve.js'

/** How long a killed instance stays away, in ms: long enough to watch the clients go elsewhere. */
const RESTART = 2_000

export interface ClusterOptions {
	readonly instances: number
	readonly port: number
	readonly host: string
}

/** Several instances in processes of their own, over one Redis, behind one address. */
export async function serveCluster({ instances, port, host }: ClusterOptions): Promise<Served> {
	const redis = await startRedis()
	// Of this run only: the Redis may be shared.
	const namespace = `evstream-demo-${randomBytes(4).toString('hex')}`
	const children = new Map<string, ChildProcess>()
	const targets = new Map<string, Target>()
	let stopping = false

	async function start(name: string): Promise<void> {
		// The child runs with this process's own Node arguments, so it finds the TypeScript sources as well.
		const child = fork(fileURLToPath(new URL('instance.ts', import.meta.url)), {
			env: { ...process.env, DEMO_INSTANCE: name, DEMO_REDIS: redis.url, DEMO_NAMESPACE: namespace },
		})
		children.set(name, child)
		child.once('exit', () => {
			children.delete(name)
			targets.delete(name)
			if (stopping) return
			console.log(`instance ${name} is gone, back in ${RESTART / 1000} s`)
			setTimeout(() => {
				if (!stopping) void start(name)
			}, RESTART).unref()
		})
		child.once('message', (message) => {
			targets.set(name, { name, port: (message as { port: number }).port })
			console.log(`instance ${name} is up (process ${child.pid})`)
		})
		await Promise.race([once(child, 'message'), once(child, 'exit')])
	}

	const names = Array.from({ length: instances }, (_, index) => String(index + 1))
	await Promise.all(names.map(start))
	const proxy = createProxy(() => [...targets.values()])

	return {
		port: await listen(proxy, port, host),
		async close() {
			stopping = true
			proxy.close()
			await Promise.all([...children.values()].map(stop))
			proxy.closeAllConnections()
			await redis.stop()
		},
	}
}

async function stop(child: ChildProcess): Promise<void> {
	const exit = once(child, 'exit')
	child.kill('SIGTERM')
	await exit
}

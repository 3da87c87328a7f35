import { type ChildProcess, fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { redisLacks, startRedis, startTcpProxy, until } from '@evstream/testkit'
import { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'

const PROCESSES = 8
const LANES = 20
const CHANGES = 100

/** Starts an instance and collects what it says. */
function start(url: string, namespace: string) {
	const child: ChildProcess = fork(
		new URL('./workers/counter.ts', import.meta.url),
		[url, namespace, String(LANES), String(CHANGES)],
		{ execArgv: ['--conditions=@evstream/source', '--import', 'tsx'] },
	)
	const said: { ready?: boolean; confirmed?: number; rejected?: string[]; value?: number } = {}
	child.on('message', (message) => Object.assign(said, message))
	return { child, said }
}

// The embedded server does not kill clients by type.
describe.skipIf(redisLacks('commands', 'EvState in many processes'))('EvState in many processes', () => {
	it('ends at the exact sum, with nothing rejected, through cuts, kills and flushed scripts', async () => {
		const redis = await startRedis()
		const proxy = await startTcpProxy(redis)
		const direct = new Redis(redis.url)
		const namespace = randomUUID()
		const instances = Array.from({ length: PROCESSES }, () => start(proxy.url(), namespace))
		try {
			const total = PROCESSES * LANES * CHANGES
			const stored = async (): Promise<number> =>
				Number(await direct.hget(`{${namespace}}:state:counter`, 'd'))
			await until(() => instances.every(({ said }) => said.ready), { timeout: 30_000, what: 'all instances' })
			for (const { child } of instances) child.send('go')
			const faults = [
				() => proxy.cut(),
				() => direct.call('SCRIPT', 'FLUSH'),
				() => proxy.cut(),
				() => direct.call('CLIENT', 'KILL', 'TYPE', 'pubsub'),
				() => proxy.cut(),
				() => direct.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
				() => proxy.cut(),
				() => direct.call('SCRIPT', 'FLUSH'),
				() => proxy.cut(),
			]
			for (const [index, fault] of faults.entries()) {
				const mark = (total * (index + 1)) / (faults.length + 2)
				await until(async () => (await stored()) >= mark, { timeout: 30_000, what: `change ${mark}` })
				await fault()
			}
			await until(() => instances.every(({ said }) => said.confirmed !== undefined), {
				timeout: 30_000,
				what: 'all changes',
			})
			for (const { said } of instances) {
				expect(said.rejected).toEqual([])
				expect(said.confirmed).toBe(LANES * CHANGES)
			}
			expect(await stored()).toBe(total)
			for (const { child, said } of instances) {
				await until(
					async () => {
						const answer = once(child, 'message')
						child.send('value?')
						await answer
						return said.value === total
					},
					{ timeout: 10_000, what: 'every instance to have the sum' },
				)
			}
		} finally {
			for (const { child } of instances) {
				const exited = once(child, 'exit')
				if (child.connected) child.disconnect()
				else child.kill()
				await exited
			}
			direct.disconnect()
			await proxy.close()
			await redis.stop()
		}
	}, 90_000)
})

import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, redisLacks, startRedis, testTls, until } from '@evstream/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { RedisSource } from '../src/index.js'
import { Instance, Opened, values } from './instance.js'

const PASSWORD = 'a secret'

describe.skipIf(redisLacks('control', 'TLS'))('a Redis behind TLS and a password', () => {
	const forAll = new Opened()
	const opened = new Opened()
	let port: number

	beforeAll(async () => {
		port = await freePort()
		const dir = forAll.add(mkdtempSync(join(tmpdir(), 'evstream-tls-')), (path) =>
			rmSync(path, { recursive: true, force: true }),
		)
		const [cert, key] = [join(dir, 'redis.crt'), join(dir, 'redis.key')]
		writeFileSync(cert, testTls.cert)
		writeFileSync(key, testTls.key)
		const tls = ['--tls-port', `${port}`, '--tls-cert-file', cert, '--tls-key-file', key]
		const args = [...tls, '--tls-auth-clients', 'no', '--requirepass', PASSWORD]
		forAll.add(await startRedis({ args }), (redis) => redis.stop())
	})
	afterEach(() => opened.close())
	afterAll(() => forAll.close())

	it('carries channels and states of every instance', async () => {
		const source: RedisSource = {
			host: 'localhost',
			port,
			password: PASSWORD,
			tls: { ca: testTls.cert },
		}
		const namespace = randomUUID()
		const instances = [1, 2].map(() => new Instance(opened, source, { namespace }))
		const counters = instances.map((instance) => instance.state('count', 0))
		const clients = await Promise.all(instances.map((instance) => instance.client('count')))
		await Promise.all(counters.map((counter) => counter.set((count) => count + 1)))
		await until(() => clients.every((client) => values(client).at(-1) === 2))
		expect(counters.map((counter) => counter.get())).toEqual([2, 2])
		expect(instances.map(({ errors }) => errors)).toEqual([[], []])
	})

	it('is out of reach for a client that does not trust its certificate, which is reported', async () => {
		const instance = new Instance(
			opened,
			{ host: 'localhost', port, password: PASSWORD, tls: {} },
			{ namespace: randomUUID() },
		)
		await until(() => instance.errors.length > 0)
		expect(String(instance.errors[0])).toMatch(/self-signed certificate/)
		expect(instance.adapter.healthy).toBe(false)
	})
})

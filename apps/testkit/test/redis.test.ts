import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { describe, expect, onTestFinished, test } from 'vitest'
import { redisKind, redisLacks, startRedis, until } from '../src/index.js'

const noServer = redisLacks('control', 'a server on the PATH')

const kind = redisKind()

function client(url: string): Redis {
	const redis = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
	redis.on('error', () => {})
	onTestFinished(() => redis.disconnect())
	return redis
}

test('a Redis of whichever kind answers', async () => {
	const redis = await startRedis()
	onTestFinished(() => redis.stop())
	expect(redis.kind).toBe(kind)
	expect(await client(redis.url).ping()).toBe('PONG')
})

describe.skipIf(noServer)('a redis-server or valkey-server on the PATH', () => {
	test('restarts on the same port, empty or with its data', async () => {
		const redis = await startRedis()
		onTestFinished(() => redis.stop())
		const commands = client(redis.url)
		await commands.set('a', '1')
		await redis.restart({ keepData: true })
		expect(await commands.get('a')).toBe('1')
		await redis.kill()
		await redis.restart()
		expect(await commands.get('a')).toBeNull()
	})

	test('pauses and resumes', async () => {
		const redis = await startRedis()
		onTestFinished(() => redis.stop())
		const commands = client(redis.url)
		await commands.ping()
		redis.pause()
		let answered = false
		const pong = commands.ping().finally(() => {
			answered = true
		})
		await expect(until(() => answered, { timeout: 50 })).rejects.toThrow()
		redis.resume()
		expect(await pong).toBe('PONG')
	})

	test('dies with its parent, even by SIGKILL', async () => {
		const script = fileURLToPath(new URL('./orphan.ts', import.meta.url))
		const parent = spawn(process.execPath, ['--import', 'tsx', script], {
			stdio: ['ignore', 'pipe', 'inherit'],
		})
		let output = ''
		parent.stdout.on('data', (text) => {
			output += text
		})
		const port = await until(() => /port (\d+)/.exec(output)?.[1], { what: 'the port', timeout: 15_000 })
		const commands = client(`redis://127.0.0.1:${port}`)
		await commands.ping()
		const gone = once(commands, 'close')
		parent.kill('SIGKILL')
		await gone
		const dir = /dir (\S+)/.exec(output)?.[1] ?? ''
		await until(() => !existsSync(dir), { what: 'the folder to go' })
	})
})

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { openSse } from '@evstream/testkit'
import { EventSource } from 'eventsource'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { postAll, postJson, type RunningDemo, startDemo } from './support/demo.js'
import { spawnDemo } from './support/process.js'

const noCurl = spawnSync('curl', ['--version']).error ? 'no curl on the PATH' : undefined
if (noCurl) console.warn(`skipped: ${noCurl}`)

describe('clients that are not browsers', () => {
	let demo: RunningDemo
	const undo: (() => unknown)[] = []

	beforeEach(async () => {
		demo = await startDemo()
	})
	afterEach(async () => {
		for (const step of undo.splice(0)) await step()
		await demo.close()
	})

	it('the npm client receives, and resumes after a drop', async () => {
		const source = new EventSource(`${demo.url}/events?tab=npm`)
		undo.push(() => source.close())
		const texts: string[] = []
		let ticks = 0
		source.addEventListener('board', ({ data }) => void texts.push(JSON.parse(data).text))
		source.addEventListener('clock', () => void ticks++)

		const positioned = new Promise((resolve) => source.addEventListener('position', resolve))
		await positioned
		await postAll(demo.url, ['one'])
		await vi.waitFor(() => expect(texts).toEqual(['one']))

		const cut = new Promise((resolve) => source.addEventListener('error', resolve, { once: true }))
		const again = new Promise((resolve) => source.addEventListener('open', resolve, { once: true }))
		await postJson(`${demo.url}/drop`, { tab: 'npm' })
		await cut
		await postAll(demo.url, ['two', 'three'])
		await again
		await postAll(demo.url, ['four'])
		await vi.waitFor(() => expect(texts).toEqual(['one', 'two', 'three', 'four']))
		await vi.waitFor(() => expect(ticks).toBeGreaterThan(0), 3_000)
	})

	it('the npm client stops after a 401', async () => {
		const source = new EventSource(`${demo.url}/private?token=guess`)
		undo.push(() => source.close())
		const error = await new Promise<{ code?: number | undefined }>((resolve) =>
			source.addEventListener('error', resolve, { once: true }),
		)
		expect(error.code).toBe(401)
		expect(source.readyState).toBe(EventSource.CLOSED)
		expect(demo.requests).toHaveLength(1)
	})

	it.skipIf(noCurl)('curl receives, one frame at a time', async () => {
		const curl: ChildProcess = spawn('curl', ['--no-buffer', '--silent', '--include', `${demo.url}/events`])
		undo.push(() => curl.kill())
		let text = ''
		curl.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
			text += chunk
		})
		await vi.waitFor(() => expect(text).toContain('event:position\n'), 5_000)
		expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
		expect(text).toMatch(/^content-type: text\/event-stream; charset=utf-8\r\n/im)

		await postAll(demo.url, ['for curl'])
		await vi.waitFor(() =>
			expect(text).toMatch(/event:board\nid:[\w.-]+\ndata:\{"name":"Ada","text":"for curl","at":\d+\}\n\n/),
		)
		await vi.waitFor(() => expect(text).toMatch(/event:clock\ndata:\{"now":\d+\}\n\n/), 3_000)
	})

	it('a shutdown tells every client when to come back, then ends its stream', async () => {
		const server = await spawnDemo('--port', '0')
		const streams = await Promise.all(Array.from({ length: 5 }, () => openSse(`${server.url}/events?frames`)))
		await Promise.all(streams.map((stream) => stream.next('position')))
		const before = streams.map(({ raw }) => raw.length)

		expect(await server.stop()).toBe(0)
		await Promise.all(streams.map(({ closed }) => closed))
		streams.forEach(({ raw }, index) => {
			expect(raw.slice(before[index])).toMatch(/retry:\d+\n\n$/)
		})
	})
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { freePort, until } from '@evstream/testkit'
import { EventSource } from 'eventsource'
import { describe, expect, it } from 'vitest'
import { cleanUp } from './support.js'

describe('the ten-line server of the README', () => {
	it('serves the page and, to an EventSource, the time each second with ids', async () => {
		const folder = new URL('./readme/', import.meta.url)
		const port = await freePort()
		const code = await readFile(new URL('server.mjs', folder), 'utf8')
		expect(code).toContain('.listen(3000)')
		// In this folder, where the package finds itself by its name.
		const file = fileURLToPath(new URL(`.server-${port}.mjs`, folder))
		await writeFile(file, code.replace('.listen(3000)', `.listen(${port}, '127.0.0.1')`))
		cleanUp(() => rm(file, { force: true }))
		const server = spawn(process.execPath, ['--conditions=@evstream/source', '--import', 'tsx', file], {
			cwd: fileURLToPath(folder),
			stdio: ['ignore', 'inherit', 'inherit'],
		})
		cleanUp(async () => {
			server.kill()
			if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
		})

		const url = `http://127.0.0.1:${port}`
		const page = await until(() => fetch(url).then((response) => response.text()), { timeout: 15_000 })
		expect(page).toContain("new EventSource('/events')")
		const events = new EventSource(`${url}/events`)
		cleanUp(() => events.close())
		const ticks: { data: string; lastEventId: string }[] = []
		events.addEventListener('clock', ({ data, lastEventId }) => ticks.push({ data, lastEventId }))
		await until(() => ticks.length >= 2)
		for (const { data, lastEventId } of ticks) {
			expect(new Date(JSON.parse(data).now).getTime()).toBeGreaterThan(0)
			expect(lastEventId).toMatch(/^[A-Za-z0-9._]+-\d+$/)
		}
	})
})

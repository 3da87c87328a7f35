import { freePort, openSse } from '@evstream/testkit'
import { expect, it, onTestFinished, vi } from 'vitest'
import { postAll } from './support/demo.js'
import { type DemoProcess, spawnDemo } from './support/process.js'

/** Starts the demo; it is stopped after the test at the latest. */
async function start(...args: string[]): Promise<DemoProcess> {
	const demo = await spawnDemo(...args)
	onTestFinished(async () => void (await demo.stop()))
	return demo
}

it('serves its page on the PORT of the environment', async () => {
	const port = await freePort()
	vi.stubEnv('PORT', String(port))
	onTestFinished(() => void vi.unstubAllEnvs())
	const demo = await start()
	expect(demo.url).toBe(`http://localhost:${port}`)
	const answer = await fetch(demo.url)
	expect(answer.status).toBe(200)
	expect(await answer.text()).toContain('<title>')
	expect(await demo.stop()).toBe(0)
})

it('runs three instances over whichever Redis there is: each has clients, and a post reaches all', async () => {
	const demo = await start('--instances', '3', '--port', '0')
	const clients = await Promise.all(Array.from({ length: 3 }, () => openSse(`${demo.url}/events`)))
	onTestFinished(() => clients.forEach((client) => void client.close()))
	const hellos = await Promise.all(clients.map((client) => client.next('hello')))
	expect(hellos.map(({ data }) => JSON.parse(data).instance).sort()).toEqual(['1', '2', '3'])
	await Promise.all(clients.map((client) => client.next('position')))

	await postAll(demo.url, ['to everybody'])
	const posts = await Promise.all(clients.map((client) => client.next('board')))
	for (const { data } of posts) expect(JSON.parse(data)).toMatchObject({ text: 'to everybody' })
	expect(await demo.stop()).toBe(0)
})

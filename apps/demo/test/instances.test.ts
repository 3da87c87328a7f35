import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium, noChromium } from './support/chromium.js'
import { postAll } from './support/demo.js'
import { DemoPage } from './support/page.js'
import { type DemoProcess, spawnDemo } from './support/process.js'

describe.skipIf(noChromium)('three instances behind one address', () => {
	let browser: Browser
	let demo: DemoProcess

	beforeAll(async () => {
		browser = await launchChromium()
		demo = await spawnDemo('--instances', '3', '--port', '0')
	})
	afterAll(async () => {
		await browser?.close()
		expect(await demo?.stop()).toBe(0)
	})

	it('spread the pages, share the board and count all viewers', async () => {
		const tabs = await Promise.all(Array.from({ length: 3 }, () => DemoPage.open(browser, demo.url)))
		const names = await Promise.all(tabs.map((tab) => tab.text('instance')))
		expect(names.sort()).toEqual(['instance 1', 'instance 2', 'instance 3'])

		await tabs[0]?.post('Ada', 'to everybody')
		for (const tab of tabs) {
			await tab.shows(['to everybody'])
			await expect.poll(() => tab.text('viewers')).toBe('3')
		}
		for (const tab of tabs) await tab.close()
	})

	it('reconnect a page to another instance when its own is killed, and its board stays complete', async () => {
		const tab = await DemoPage.open(browser, demo.url)
		const other = await DemoPage.open(browser, demo.url)
		const before = await tab.posts()
		const killed = await tab.text('instance')
		const texts = Array.from({ length: 40 }, (_, index) => `post ${index}`)

		await postAll(demo.url, texts.slice(0, 10))
		await tab.click('Kill this instance')
		await tab.state('connecting')
		await postAll(demo.url, texts.slice(10, 30))
		await tab.reconnected(1)
		await postAll(demo.url, texts.slice(30))

		await expect.poll(() => tab.text('instance')).not.toBe(killed)
		await tab.shows([...before, ...texts])
		await other.shows([...before, ...texts])
		await demo.printed(new RegExp(`${killed} is gone[\\s\\S]*${killed} is up`))
		await expect.poll(() => tab.text('viewers'), { timeout: 15_000 }).toBe('2')
	})
})

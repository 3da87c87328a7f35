import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { launchChromium, noChromium } from './support/chromium.js'
import { postAll, type RunningDemo, startDemo } from './support/demo.js'
import { DemoPage } from './support/page.js'
import { spawnDemo } from './support/process.js'

const texts = (from: number, to: number) =>
	Array.from({ length: to - from + 1 }, (_, index) => `post ${from + index}`)

describe.skipIf(noChromium)('the page in Chromium', () => {
	let browser: Browser
	let demo: RunningDemo

	beforeAll(async () => {
		browser = await launchChromium()
	})
	afterAll(() => browser?.close())
	beforeEach(async () => {
		demo = await startDemo()
	})
	afterEach(async () => {
		await Promise.all(browser.contexts().map((context) => context.close()))
		await demo.close()
	})

	it('shows a clock that ticks', async () => {
		const tab = await DemoPage.open(browser, demo.url)
		await tab.ticks(2)
		expect(await tab.text('clock')).toMatch(/^\d\d:\d\d:\d\d$/)
	})

	it('shows a post of one tab in another, as text', async () => {
		const [one, other] = await Promise.all([
			DemoPage.open(browser, demo.url),
			DemoPage.open(browser, demo.url),
		])
		await one.post('Ada <b>', '<img src=x onerror=alert(1)> & “Grüße” 👋')
		await other.shows(['<img src=x onerror=alert(1)> & “Grüße” 👋'])
		expect(await other.page.locator('#posts b').textContent()).toBe('Ada <b>')
		await one.shows(['<img src=x onerror=alert(1)> & “Grüße” 👋'])
	})

	it('gives a newcomer the last twenty posts', async () => {
		await postAll(demo.url, texts(1, 25))
		const tab = await DemoPage.open(browser, demo.url)
		await tab.shows(texts(6, 25))
	})

	it('counts the open pages', async () => {
		const one = await DemoPage.open(browser, demo.url)
		await expect.poll(() => one.text('viewers')).toBe('1')
		const other = await DemoPage.open(browser, demo.url)
		await expect.poll(() => one.text('viewers')).toBe('2')
		await expect.poll(() => other.text('viewers')).toBe('2')
		await other.close()
		await expect.poll(() => one.text('viewers')).toBe('1')
	})

	it('reconnects after a drop and misses no post', async () => {
		const tab = await DemoPage.open(browser, demo.url)
		await postAll(demo.url, texts(1, 5))
		await tab.shows(texts(1, 5))

		await tab.click('Drop the connection')
		await tab.state('connecting')
		await postAll(demo.url, texts(6, 10))
		await tab.reconnected(1)
		await postAll(demo.url, texts(11, 12))

		await tab.shows(texts(1, 12))
		const streams = demo.requests.filter(({ url }) => url?.startsWith('/events?tab='))
		expect(streams.map(({ headers }) => typeof headers['last-event-id'])).toEqual(['undefined', 'string'])
	})

	it('resumes a connection that was dropped before its first post', async () => {
		const tab = await DemoPage.open(browser, demo.url)
		await expect.poll(() => tab.text('last-event-id')).not.toBe('–')

		await tab.click('Drop the connection')
		await tab.state('connecting')
		await postAll(demo.url, texts(1, 30))
		await tab.reconnected(1)

		await tab.shows(texts(1, 30))
	})

	it('shows the bytes on the wire', async () => {
		const tab = await DemoPage.open(browser, demo.url)
		await postAll(demo.url, ['hello wire'])
		const frames = tab.page.locator('#frames')
		await frames.getByText('"text":"hello wire"').waitFor()
		const text = await frames.textContent()
		expect(text).toContain('200 OK text/event-stream')
		expect(text).toMatch(/^event:hello\nretry:1000\ndata:\{"instance":"1","canKill":false\}\n\n/m)
		expect(text).toMatch(/^event:board\nid:[\w.-]+\ndata:\{"name":"Ada","text":"hello wire","at":\d+\}\n\n/m)
	})

	it('keeps a bounded number of posts and of wire lines', async () => {
		const tab = await DemoPage.open(browser, demo.url)
		await postAll(demo.url, texts(1, 230))
		await tab.shows(texts(31, 230))
		await tab.page.locator('#frames').getByText('"text":"post 230"').waitFor()
		expect(await tab.page.locator('#frames span').count()).toBe(200)
	})

	it('stops after a 401, with exactly one request', async () => {
		const tab = await DemoPage.open(browser, demo.url)
		await tab.click('Try a wrong token')
		await tab.page.locator('#private-state[data-state=closed]').waitFor()

		// Longer than the three seconds after which Chromium would try again.
		await tab.ticks(4)
		expect(await tab.text('private-state')).toContain('will not try again')
		expect(demo.requests.filter(({ url }) => url?.startsWith('/private?'))).toHaveLength(1)
	})

	it('opens the protected stream with the right token', async () => {
		const tab = await DemoPage.open(browser, demo.url)
		await tab.click('Try the right token')
		await tab.page.locator('#private-state[data-state=open]').waitFor()
		expect(await tab.text('private-state')).toContain('The token is right.')
	})

	it('says what is wrong with a post', async () => {
		const tab = await DemoPage.open(browser, demo.url)
		await tab.post('Ada', '   ')
		await tab.page.getByRole('alert').getByText('The text is empty.').waitFor()
	})

	it('survives a restart of the server: comes back and loads the board again', async () => {
		const first = await spawnDemo('--port', '0')
		const tab = await DemoPage.open(browser, first.url)
		await postAll(first.url, ['before'])
		await tab.shows(['before'])

		expect(await first.stop()).toBe(0)
		await tab.state('connecting')
		const second = await spawnDemo('--port', new URL(first.url).port)
		try {
			await postAll(second.url, ['after'])
			await tab.shows(['after'])
			await tab.page.getByRole('alert').getByText('could not resume here (epoch)').waitFor()
		} finally {
			await second.stop()
		}
	})
})

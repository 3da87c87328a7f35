import type { Browser, Page } from 'playwright-core'
import { expect } from 'vitest'

/** The demo page in a tab, by what a visitor sees on it. */
export class DemoPage {
	readonly page: Page

	private constructor(page: Page) {
		this.page = page
	}

	/** Opens the page in a browser context of its own and waits until its stream is open. */
	static async open(browser: Browser, url: string): Promise<DemoPage> {
		const context = await browser.newContext()
		const demo = new DemoPage(await context.newPage())
		await demo.page.goto(url)
		await demo.state('open')
		return demo
	}

	async text(id: string): Promise<string> {
		return (await this.page.locator(`#${id}`).textContent()) ?? ''
	}

	/** Waits for the connection's state. */
	async state(state: 'connecting' | 'open' | 'closed'): Promise<void> {
		await this.page.locator(`#state[data-state=${state}]`).waitFor()
	}

	/** Waits for the number of reconnects, and that it stands again. */
	async reconnected(times: number): Promise<void> {
		await expect.poll(() => this.text('reconnects'), { timeout: 15_000 }).toBe(String(times))
		await this.state('open')
	}

	/** The texts on the board, oldest first. */
	async posts(): Promise<string[]> {
		return (await this.page.locator('#posts li p').allTextContents()).reverse()
	}

	/** Waits until the board shows exactly these, oldest first. */
	async shows(texts: readonly string[]): Promise<void> {
		await expect.poll(() => this.posts(), { timeout: 15_000 }).toEqual(texts)
	}

	async post(name: string, text: string): Promise<void> {
		await this.page.getByLabel('Name').fill(name)
		await this.page.getByLabel('Message').fill(text)
		await this.page.getByRole('button', { name: 'Post', exact: true }).click()
	}

	async click(name: string): Promise<void> {
		await this.page.getByRole('button', { name }).click()
	}

	/** Waits for that many more ticks of the clock. */
	async ticks(count: number): Promise<void> {
		for (let tick = 0; tick < count; tick++) {
			const before = await this.text('clock')
			await expect.poll(() => this.text('clock'), { timeout: 5_000 }).not.toBe(before)
		}
	}

	async close(): Promise<void> {
		await this.page.context().close()
	}
}

import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'

const { CHROMIUM, EVSTREAM_REQUIRE_BROWSER, PATH = '' } = process.env
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']

function find(): string | undefined {
	if (CHROMIUM) return CHROMIUM
	const folders = PATH.split(delimiter)
	return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path))
}

const executablePath = find()

/** Why tests that need a browser cannot run, or `undefined` if they can. Printed once. */
export const noChromium: string | undefined = executablePath
	? undefined
	: `no Chromium: none of ${NAMES.join(', ')} is on the PATH; set CHROMIUM to the path of one`

if (noChromium) {
	if (EVSTREAM_REQUIRE_BROWSER === '1') throw new Error(noChromium)
	console.warn(`skipped: ${noChromium}`)
}

/** Starts it, headless, with an empty profile and nothing that talks to the network by itself. */
export function launchChromium(): Promise<Browser> {
	if (!executablePath) throw new Error(noChromium)
	return chromium.launch({
		executablePath,
		args: [
			'--headless',
			'--no-sandbox',
			'--disable-gpu',
			'--disable-quic',
			'--no-first-run',
			'--disable-background-networking',
			'--disable-component-update',
			'--disable-sync',
		],
	})
}

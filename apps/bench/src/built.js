/** What users get is measured, not the source. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * @param {string} name
 * @param {string} url What it resolves to.
 */
export function checkBuilt(name, url) {
	if (!url.endsWith('/dist/index.js')) throw new Error('measures the built package only, not its source')
	if (!existsSync(fileURLToPath(url))) throw new Error(`${name} is not built: run pnpm build`)
}

/** `pnpm bench`: runs cases, prints them, keeps the results. */

import { tooMany } from './limits.js'
import { options, USAGE, UsageError } from './options.js'
import { aligned, rows, targetRows } from './report.js'
import { save } from './results.js'
import { runCase } from './runner.js'

/** Exit codes. */
const FAILED = 1
const WRONG_USE = 2

const terminal = process.stderr.isTTY

/** @param {string} text */
function progress(text) {
	if (terminal) process.stderr.write(`\r\u001B[K${text}`)
}

/** @param {ReturnType<typeof options>} chosen */
async function main({ cases, only, reps, quick }) {
	let failed = false
	if (quick) console.log('Quick: the figures mean nothing, only whether everything works.\n')
	for (const one of cases) {
		if (!only.some((name) => one.contenders.includes(name))) continue
		console.log(one.title)
		if (quick) console.log(`quick sizes: ${JSON.stringify(one.sizes.quick)}`)
		const { connections } = quick ? one.sizes.quick : one.sizes.full
		const obstacle = one.obstacle?.() ?? tooMany(connections)
		if (obstacle !== undefined) {
			console.log(`  skipped: ${obstacle}\n`)
			failed = true
			continue
		}
		/** @type {Set<string>} */
		const reasons = new Set()
		const result = await runCase(one, { only, reps, quick, progress, failed: (text) => reasons.add(text) })
		progress('')
		save(result)
		console.log(aligned(rows(one, result)))
		for (const reason of reasons) console.log(reason)
		if (reasons.size > 0) failed = true
		const targets = targetRows(result)
		if (targets.length > 0) console.log(aligned(targets))
		if (!quick && targets.some(([, , , status]) => status === 'MISSED')) failed = true
		console.log()
	}
	return failed
}

try {
	const chosen = options(process.argv.slice(2))
	if (chosen.help) console.log(USAGE)
	else if (await main(chosen)) process.exitCode = FAILED
} catch (error) {
	if (!(error instanceof UsageError)) throw error
	console.error(`${error.message}\n\n${USAGE}`)
	process.exitCode = WRONG_USE
}

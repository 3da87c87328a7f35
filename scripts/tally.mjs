/**
 * Prints the last line of a check run: `N passed, N failed`, with `, N skipped` if tests were skipped.
 * Usage: node scripts/tally.mjs <vitest's JSON report>.json... [names of checks that failed]
 *
 * Tests are counted one by one, in each report again. A report has the name of the check that made it. A check that failed and has no report counts as one failure, so that the line never
 * says that nothing failed when something did. The exit code is 1 if anything failed.
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'

const args = process.argv.slice(2)
const files = args.filter((arg) => arg.endsWith('.json'))
const failedChecks = new Set(args.filter((arg) => !arg.endsWith('.json')))

function read(file) {
	try {
		return JSON.parse(readFileSync(file, 'utf8')).testResults
	} catch (error) {
		console.log(`No test report: ${error instanceof Error ? error.message : error}`)
		return undefined
	}
}

/** The tests of one report that passed, failed and were skipped. */
function countTests(file) {
	const check = basename(file, '.json')
	const results = read(file)
	const tests = (results ?? []).flatMap(({ assertionResults }) => assertionResults)
	const count = (...states) => tests.filter(({ status }) => states.includes(status)).length
	// A file that failed without a failed test: it could not be loaded, or a hook failed.
	const broken = (results ?? []).filter(({ status, assertionResults }) => {
		return status === 'failed' && !assertionResults.some((test) => test.status === 'failed')
	})
	for (const { name } of broken) console.log(`failed: ${name}`)
	let failed = count('failed') + broken.length
	// The run failed otherwise, for example by an error outside of any test.
	if (failed === 0 && (results === undefined || failedChecks.has(check))) failed = 1
	failedChecks.delete(check)
	return { passed: count('passed'), failed, skipped: count('pending', 'skipped', 'todo', 'disabled') }
}

const counts = files.map(countTests)
const sum = (what) => counts.reduce((total, count) => total + count[what], 0)
const failed = sum('failed') + failedChecks.size
const skipped = sum('skipped')

console.log(`${sum('passed')} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed > 0 ? 1 : 0

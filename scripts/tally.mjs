/**
 * Prints the last line of a check run: `N passed, N failed`, with `, N skipped` if tests were skipped.
 * Usage: node scripts/tally.mjs <vitest's JSON report> [names of checks that failed]
 *
 * Tests are counted one by one. A check that failed and is no test counts as one failure, so that the line never
 * says that nothing failed when something did. The exit code is 1 if anything failed.
 */
import { readFileSync } from 'node:fs'

const [file = '', ...checks] = process.argv.slice(2)

function read() {
	try {
		return JSON.parse(readFileSync(file, 'utf8'))
	} catch (error) {
		console.log(`No test report: ${error instanceof Error ? error.message : error}`)
		return undefined
	}
}

const report = read()
const results = report?.testResults ?? []
const tests = results.flatMap(({ assertionResults }) => assertionResults)
const count = (...states) => tests.filter(({ status }) => states.includes(status)).length

const passed = count('passed')
const skipped = count('pending', 'skipped', 'todo', 'disabled')
const broken = results.filter(({ status, assertionResults }) => {
	return status === 'failed' && !assertionResults.some((test) => test.status === 'failed')
})
for (const { name } of broken) console.log(`failed: ${name}`)

let failed = count('failed') + broken.length + checks.filter((name) => name !== 'tests').length
// The tests failed otherwise, for example by an error outside of any test.
if (report === undefined || (checks.includes('tests') && count('failed') + broken.length === 0)) failed++

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed > 0 ? 1 : 0

/**
 * Checks that each promise in docs/guarantees.md names a test that exists. With vitest's JSON report as argument,
 * also that each of them ran and passed.
 *
 * A row is `| promise | [file](link) | title |`; a title stands as in the source of the test, so `%s`, `$name` and
 * `${…}` in it match anything in the report.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const page = 'docs/guarantees.md'
const [reportFile] = process.argv.slice(2)

const rows = readFileSync(join(root, page), 'utf8')
	.split('\n')
	.map((line, index) => ({
		line: index + 1,
		match: /^\|(.+)\|\s*\[[^\]]*\]\(([^)]+)\)\s*\|\s*`?(.+?)`?\s*\|$/.exec(line),
	}))
	.filter(({ match }) => match !== null)
	.map(({ line, match: [, promise, link, title] }) => ({
		line,
		promise: promise.trim(),
		file: relative(root, join(root, 'docs', link)),
		title: title.replaceAll('\\|', '|'),
	}))

const tests = reportFile === undefined ? undefined : testsOf(reportFile)
const problems = rows.flatMap((row) => {
	const problem = problemOf(row)
	return problem === undefined ? [] : [`${page}:${row.line}: ${problem}`]
})
if (rows.length === 0) problems.push(`${page}: no row was found`)

function testsOf(path) {
	const { testResults } = JSON.parse(readFileSync(path, 'utf8'))
	return testResults.flatMap(({ name, assertionResults }) =>
		assertionResults.map(({ title, status }) => ({ file: relative(root, name), title, status })),
	)
}

function problemOf({ file, title }) {
	if (!existsSync(join(root, file))) return `there is no ${file}`
	if (tests === undefined) {
		const source = readFileSync(join(root, file), 'utf8').replaceAll("\\'", "'")
		const titles = source.replace(/\bdescribe\b.*/g, '')
		const isThere = partsOf(title).every((part) => titles.includes(part))
		return isThere ? undefined : `${file} has no test "${title}"`
	}
	const literals = partsOf(title).map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
	const pattern = new RegExp(`^${literals.join('.*')}$`, 's')
	const found = tests.filter((test) => pattern.test(test.title) && (test.file === file || inSuite(file)))
	if (found.length === 0) return `${file} has no test "${title}"`
	const bad = found.find(({ status }) => status !== 'passed')
	return bad && `"${bad.title}" in ${bad.file}: ${bad.status}`
}

/** What stands in a title between the places that vary. */
function partsOf(title) {
	return title.split(/%[a-z]|\$\{[^}]*\}|\$[\w.]+/)
}

/** The tests of a contract suite run in the files that call it. */
function inSuite(file) {
	return file.includes('/contract/')
}

for (const problem of problems) console.log(problem)
console.log(`${rows.length} promises, ${problems.length} without proof`)
process.exitCode = problems.length > 0 ? 1 : 0

/**
 * Checks the Markdown files: links within the repository lead somewhere, code that is copied from a file is the
 * same as the file, and TypeScript compiles.
 *
 * - A fence after `<!-- file: path -->` must be equal to that file.
 * - A `ts` fence is type-checked: as a module if it imports or exports, else as the body of an async function. It
 *   may use what PRELUDE declares.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const problems = []

function markdownIn(folder) {
	return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
		if (['node_modules', 'dist', 'api', '.git', '.changeset', '.turbo'].includes(entry.name)) return []
		const path = join(folder, entry.name)
		if (entry.isDirectory()) return markdownIn(path)
		return entry.name.endsWith('.md') ? [path] : []
	})
}

function report(file, index, text) {
	const line = text.slice(0, index).split('\n').length
	return (problem) => problems.push(`${relative(root, file)}:${line}: ${problem}`)
}

function checkLinks(file, text) {
	const prose = text
		.replace(/^```.*?^```/gms, (code) => code.replace(/[^\n]/g, ' '))
		.replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length))
	for (const match of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
		const [path = '', anchor] = match[1].split('#')
		if (/^[a-z]+:/.test(match[1])) continue
		const fail = report(file, match.index, text)
		const target = path === '' ? file : join(dirname(file), path)
		if (!existsSync(target)) fail(`no such file: ${match[1]}`)
		else if (anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).includes(anchor)) {
			fail(`no such heading: ${match[1]}`)
		} else if (path !== '' && relative(root, target).startsWith('..'))
			fail(`outside of the repository: ${match[1]}`)
	}
}

/** As GitHub makes them. */
function anchorsOf(file) {
	if (statSync(file).isDirectory()) return []
	const text = readFileSync(file, 'utf8').replace(/^```.*?^```/gms, '')
	return [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) =>
		heading
			.toLowerCase()
			.replace(/[^\p{L}\p{N}\s_-]/gu, '')
			.replace(/\s/g, '-'),
	)
}

function checkCopies(file, text) {
	for (const match of text.matchAll(/<!-- file: (\S+) -->\n+```\w*\n(.*?)^```$/gms)) {
		const [, path, code] = match
		const fail = report(file, match.index, text)
		if (!existsSync(join(root, path))) fail(`no such file: ${path}`)
		else if (readFileSync(join(root, path), 'utf8') !== code) fail(`not the same as ${path}`)
	}
}

/** Names that code may use without saying where they come from. Its own imports and declarations come first. */
const PRELUDE = `
import type { IncomingMessage, ServerResponse } from 'node:http'
import type * as all from 'evstream'
declare global {
	const Evstream: typeof all.Evstream
	const EvStreamManager: typeof all.EvStreamManager
	const EvState: typeof all.EvState
	const EvStateManager: typeof all.EvStateManager
	const EvRedisAdapter: typeof all.EvRedisAdapter
	const EvRedisPubSub: typeof all.EvRedisPubSub
	type EvMessage = all.EvMessage
	const manager: all.EvStreamManager
	const stream: all.EvManagedStream
	const adapter: all.EvRedisAdapter
	const req: IncomingMessage
	const res: ServerResponse
	const request: Request
	const app: import('express').Express
	const answer: AsyncIterable<string>
}
`

function checkTypes(markdown) {
	const umbrella = join(root, 'packages', 'evstream')
	// Within the package, so that names resolve as in its tests.
	const folder = mkdtempSync(join(umbrella, '.docs-'))
	try {
		const places = new Map()
		for (const file of markdown) {
			const text = readFileSync(file, 'utf8')
			for (const match of text.matchAll(/^```ts\n(.*?)^```$/gms)) {
				const [, code] = match
				const name = `block-${places.size}.ts`
				const isModule = /^(import|export) /m.test(code)
				const line = text.slice(0, match.index).split('\n').length
				writeFileSync(
					join(folder, name),
					isModule ? `${code}\nexport {}\n` : `export async function block() {\n${code}}\n`,
				)
				places.set(name, { file, line: isModule ? line : line - 1 })
			}
		}
		writeFileSync(join(folder, 'prelude.ts'), PRELUDE)
		writeFileSync(
			join(folder, 'tsconfig.json'),
			JSON.stringify({
				extends: '../../../tsconfig.base.json',
				compilerOptions: {
					isolatedDeclarations: false,
					declaration: false,
					noUnusedLocals: false,
					noUnusedParameters: false,
					types: ['node'],
				},
				include: ['*.ts'],
			}),
		)
		compile(folder, places)
		console.log(`${places.size} TypeScript blocks`)
	} finally {
		rmSync(folder, { recursive: true, force: true })
	}
}

function compile(folder, places) {
	try {
		execFileSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', folder, '--pretty', 'false'], {
			cwd: folder,
			encoding: 'utf8',
		})
	} catch (error) {
		for (const line of String(error.stdout).trimEnd().split('\n')) {
			const match = /^(block-\d+\.ts)\((\d+),\d+\): (.*)$/.exec(line)
			const place = match && places.get(match[1])
			if (!place) problems.push(line)
			else problems.push(`${relative(root, place.file)}:${place.line + Number(match[2])}: ${match[3]}`)
		}
	}
}

const files = markdownIn(root)
for (const file of files) {
	const text = readFileSync(file, 'utf8')
	checkLinks(file, text)
	checkCopies(file, text)
}
checkTypes(files)

for (const problem of problems) console.log(problem)
console.log(`${files.length} Markdown files, ${problems.length} problems`)
process.exitCode = problems.length > 0 ? 1 : 0

/**
 * Checks the packages as users get them: packs each one, lints the tarballs, installs them into a project of
 * their own, and loads and type-checks every entry from there. Needs a build first (`pnpm build`).
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const bin = (name) => join(root, 'node_modules', '.bin', name)
const work = mkdtempSync(join(tmpdir(), 'evstream-packages-'))
const problems = []

/** What users are told to import, and values of each entry that must be there. */
const ENTRIES = {
	'@evstream/core': ['Evstream', 'EvStreamManager', 'EvError', 'MemoryLog'],
	'@evstream/core/contract': ['stateStoreContract', 'channelLogContract'],
	'@evstream/state': ['EvState', 'EvStateManager'],
	'@evstream/pubsub': ['EvRedisPubSub', 'RedisBus'],
	'@evstream/redis': ['EvRedisAdapter'],
	evstream: [
		'Evstream',
		'EvStreamManager',
		'EvState',
		'EvStateManager',
		'EvError',
		'EvRedisAdapter',
		'EvRedisPubSub',
	],
	'evstream/adapter/redis': ['EvRedisAdapter'],
	'evstream/adapter/pub-sub': ['EvRedisPubSub', 'RedisBus'],
	'evstream/state-manager': ['EvStateManager'],
}

/** Runs a command; what it printed is shown if it fails. */
function run(what, file, args, options = {}) {
	try {
		const output = execFileSync(file, args, {
			encoding: 'utf8',
			stdio: ['ignore', 'pipe', 'pipe'],
			...options,
		})
		console.log(`ok   ${what}`)
		return output
	} catch (error) {
		console.log(`FAIL ${what}`)
		console.log(`${error.stdout ?? ''}${error.stderr ?? ''}`.trimEnd() || String(error))
		problems.push(what)
		return undefined
	}
}

function check(what, holds, why) {
	console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}`)
	if (holds) return
	console.log(why)
	problems.push(what)
}

/** The command that runs pnpm: the one this script runs under, else npx. */
const { npm_execpath: execPath = '', npm_config_user_agent: agent = '' } = process.env
const pnpm =
	agent.startsWith('pnpm') && execPath !== ''
		? [/\.[cm]?js$/.test(execPath) ? [process.execPath, execPath] : [execPath]].flat()
		: [
				'npx',
				'--yes',
				JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).packageManager.split('+')[0],
			]

function runPnpm(what, args, options) {
	const [file, ...first] = pnpm
	return run(what, file, [...first, ...args], options)
}

/** Every file path that a value of `exports` names. */
function targets(exported) {
	if (typeof exported === 'string') return [exported]
	return Object.values(exported).flatMap(targets)
}

function conditions(exported) {
	if (typeof exported === 'string') return []
	return Object.entries(exported).flatMap(([name, value]) => [name, ...conditions(value)])
}

/** Packs a package and checks the manifest and the files in the tarball. */
function pack(folder) {
	const before = new Set(readdirSync(work))
	if (
		runPnpm(`pack ${folder}`, ['pack', '--pack-destination', work], {
			cwd: join(root, 'packages', folder),
		}) === undefined
	)
		return undefined
	const file = readdirSync(work).find((name) => name.endsWith('.tgz') && !before.has(name))
	const tarball = join(work, file)
	const unpacked = join(work, 'unpacked', folder)
	mkdirSync(unpacked, { recursive: true })
	run(`unpack ${folder}`, 'tar', ['xzf', tarball, '-C', unpacked, '--strip-components=1'])
	const manifest = JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8'))
	const { name } = manifest

	for (const doc of ['README.md', 'LICENSE'])
		check(`${name} has ${doc}`, existsSync(join(unpacked, doc)), 'It is missing.')
	const files = targets(manifest.exports)
	const missing = files.filter((path) => !existsSync(join(unpacked, path)))
	check(`${name} has every file its exports name`, missing.length === 0, missing.join('\n'))
	const foreign = conditions(manifest.exports).filter(
		(condition) =>
			!condition.startsWith('.') && !['import', 'require', 'types', 'default'].includes(condition),
	)
	check(`${name} has no private condition`, foreign.length === 0, foreign.join('\n'))
	const ranges = Object.entries({ ...manifest.dependencies, ...manifest.peerDependencies })
	const open = ranges.filter(([, range]) => range.includes('workspace:'))
	check(`${name} has no workspace range`, open.length === 0, open.join('\n'))
	const sources = readdirSync(unpacked).filter((path) => ['src', 'test'].includes(path))
	check(`${name} has no sources`, sources.length === 0, sources.join('\n'))
	if (folder === 'core') {
		const runtime = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
		check(`${name} has no runtime dependency`, runtime.length === 0, runtime.join('\n'))
		const imports = readdirSync(join(unpacked, 'dist'), { recursive: true })
			.filter((path) => /\.c?js$/.test(path))
			.flatMap((path) => importsOf(readFileSync(join(unpacked, 'dist', path), 'utf8')))
		const outside = imports.filter((path) => !path.startsWith('.') && !isBuiltin(path))
		check(`${name} imports nothing but Node’s own modules`, outside.length === 0, outside.join('\n'))
	}

	run(`publint ${name}`, bin('publint'), ['run', tarball, '--strict'])
	// node16: what resolves by `main` alone, without `exports`, finds the main entries only.
	run(`attw ${name}`, bin('attw'), [tarball, '--profile', 'node16', '--no-color', '--no-emoji'])
	return { name, tarball }
}

function importsOf(code) {
	return [...code.matchAll(/(?:\bfrom\s*|\brequire\(\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\1/g)].map(
		(match) => match[2],
	)
}

/** A project that has nothing but the tarballs. */
function install(packages) {
	const project = join(work, 'project')
	mkdirSync(project)
	const tarballs = Object.fromEntries(packages.map(({ name, tarball }) => [name, `file:${tarball}`]))
	const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
	writeFileSync(
		join(project, 'package.json'),
		JSON.stringify({
			name: 'consumer',
			private: true,
			dependencies: { ...tarballs, ioredis: '^6.0.0' },
			devDependencies: { '@types/node': devDependencies['@types/node'] },
		}),
	)
	// The five are not published yet, or in another version: each finds the others here.
	writeFileSync(
		join(project, 'pnpm-workspace.yaml'),
		JSON.stringify({ packages: [], overrides: tarballs, strictPeerDependencies: true }),
	)
	runPnpm(
		'install the tarballs',
		['install', '--prefer-offline', '--ignore-scripts', '--no-frozen-lockfile'],
		{
			cwd: project,
		},
	)
	return project
}

function load(project) {
	const names = JSON.stringify(ENTRIES)
	const body = `
		const missing = []
		for (const [entry, names] of Object.entries(${names})) {
			const loaded = await load(entry)
			for (const name of names) if (typeof loaded[name] !== 'function') missing.push(entry + ': ' + name)
			console.log(entry + ' ' + Object.keys(loaded).filter((key) => key !== 'default' && key !== 'module.exports').sort())
		}
		if (missing.length > 0) throw new Error('Missing: ' + missing.join(', '))`
	writeFileSync(join(project, 'load.mjs'), `const load = (entry) => import(entry)\n${body}`)
	writeFileSync(join(project, 'load.cjs'), `const load = require\n;(async () => {${body}})()`)
	const esm = run('import every entry', process.execPath, ['load.mjs'], { cwd: project })
	const cjs = run('require every entry', process.execPath, ['load.cjs'], { cwd: project })
	if (esm !== undefined && cjs !== undefined) {
		check('ESM and CommonJS export the same names', esm === cjs, `${esm}\n${cjs}`)
	}
}

function types(project) {
	writeFileSync(join(project, 'consumer.ts'), CONSUMER)
	writeFileSync(join(project, 'consumer.cts'), CONSUMER)
	for (const [name, options] of Object.entries({
		node16: { module: 'node16', moduleResolution: 'node16' },
		bundler: { module: 'preserve', moduleResolution: 'bundler' },
	})) {
		const config = join(project, `tsconfig.${name}.json`)
		writeFileSync(
			config,
			JSON.stringify({
				compilerOptions: {
					...options,
					target: 'es2022',
					lib: ['es2023', 'dom', 'dom.iterable'],
					strict: true,
					noEmit: true,
					skipLibCheck: false,
					types: ['node'],
				},
				files: ['consumer.ts', 'consumer.cts'],
			}),
		)
		run(`types with moduleResolution ${name}`, bin('tsc'), ['-p', config], { cwd: project })
	}
}

const CONSUMER = `
import { createServer } from 'node:http'
import type { ChannelLog, StateStore } from '@evstream/core'
import { EvStreamManager as CoreManager } from '@evstream/core'
import { stateStoreContract } from '@evstream/core/contract'
import { EvRedisPubSub as PubSub } from '@evstream/pubsub'
import { EvRedisAdapter as Adapter } from '@evstream/redis'
import { EvState as State } from '@evstream/state'
import { EvError, EvState, Evstream, EvStreamManager, type EvMessage } from 'evstream'
import { EvRedisPubSub } from 'evstream/adapter/pub-sub'
import { EvRedisAdapter, type EvRedisAdapterOptions } from 'evstream/adapter/redis'
import { EvStateManager } from 'evstream/state-manager'

const adapterOptions: EvRedisAdapterOptions = { namespace: 'app' }
const adapter = new EvRedisAdapter('redis://localhost:6379', adapterOptions)
const manager = new EvStreamManager<{ news: { title: string } }>({ history: { size: 100 }, adapter })
const count: EvState<number> = new EvState({ channel: 'count', initialValue: 0, manager, adapter })
const pubsub = new EvRedisPubSub({ subject: 'ev:states', options: { host: 'localhost', port: 6379 } })
const states = new EvStateManager<{ users: number }>({ manager, adapter, pubsub })

export const server = createServer(async (req, res) => {
	const stream = manager.createStream(req, res, {
		authentication: { method: 'header', verify: async (token) => token === 'secret' },
	})
	if (!(await stream.authenticate())) return
	stream.listen('news')
	// @ts-expect-error no such channel
	stream.listen('weather')
	const message: EvMessage = { data: count.get() }
	const keepsUp: boolean = stream.message(message)
	if (!keepsUp) await stream.drain()
	new Evstream(req, res).close()
})
// @ts-expect-error the data of this channel has a title
void manager.send('news', { data: { name: 'x' } })
void manager.send('news', { data: { title: 'x' } }).catch((error: unknown) => error instanceof EvError && error.code)
const users: number = states.createState('users', 0).get()

// The umbrella's classes are those of the packages.
const core: CoreManager<{ news: { title: string } }> = manager
const state: State<number> = count
const redis: Adapter = adapter
const redisPubSub: PubSub = pubsub
export type Contracts = ChannelLog | StateStore
export const all = [users, core, state, redis, redisPubSub, stateStoreContract]
`

try {
	const packages = ['core', 'state', 'pubsub', 'redis', 'evstream'].map(pack).filter(Boolean)
	const project = install(packages)
	load(project)
	types(project)
} finally {
	rmSync(work, { recursive: true, force: true })
}
if (problems.length > 0) {
	console.log(`\n${problems.length} failed:\n${problems.map((problem) => `  ${problem}`).join('\n')}`)
	process.exitCode = 1
}

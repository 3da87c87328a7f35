/**
 * Checks the built core on Bun and Deno, by their own servers and by their `node:http`: the head, live events,
 * keep-alive, resume, a real 401, a client that leaves, one that never reads, and shutdown. A runtime that is not on
 * the PATH comes from the npm registry. Needs a build first (`pnpm build`).
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const SERVER = fileURLToPath(new URL('runtimes/server.mjs', import.meta.url))
const RUNTIMES = [
	{ name: 'bun', version: '1.4.5', args: [] },
	{ name: 'deno', version: '2.9.6', args: ['run', '--allow-all', '--no-lock'] },
]
/** More messages of so many bytes than the kernel and `maxBuffer` take. */
const MOST = 1_000
const LARGE = 12_000

function commandOf({ name, version }) {
	try {
		execFileSync(name, ['--version'], { stdio: 'ignore' })
		return [name]
	} catch {
		return ['npx', '--yes', `${name}@${version}`]
	}
}

async function until(condition, what) {
	const end = performance.now() + 10_000
	while (!(await condition())) {
		assert(performance.now() < end, `not within 10 s: ${what}`)
		await sleep(20)
	}
}

/** Opens a stream and collects what comes. */
async function open(url, headers = {}) {
	const abort = new AbortController()
	const response = await fetch(url, { headers, signal: abort.signal })
	const client = { response, text: '', over: false, leave: () => abort.abort() }
	const decoder = new TextDecoder()
	const read = async () => {
		for await (const part of response.body) client.text += decoder.decode(part, { stream: true })
	}
	read()
		.catch(() => {})
		.finally(() => {
			client.over = true
		})
	return client
}

async function checkServer(port) {
	const url = `http://127.0.0.1:${port}`
	const ask = async (path) => (await fetch(url + path)).text()
	const stats = async () => JSON.parse(await ask('/stats'))

	const first = await open(`${url}/events`)
	assert.equal(first.response.status, 200)
	assert.equal(first.response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
	assert.equal(first.response.headers.get('cache-control'), 'no-cache, no-transform')
	await until(() => first.text.includes('event:position\n'), 'the position of a newcomer')
	await ask('/send?data=1&data=2')
	await until(() => first.text.includes('data:2\n'), 'live events')
	await until(() => first.text.endsWith('\n\n:\n\n'), 'a keep-alive comment')
	first.leave()
	await until(async () => (await stats()).connections === 0, 'a client that left is forgotten')

	await ask('/send?data=3&data=4')
	const [id] = [...first.text.matchAll(/^id:(.*)$/gm)].map(([, value]) => value).slice(-1)
	const second = await open(`${url}/events`, { 'Last-Event-ID': id })
	await until(() => second.text.includes('data:4\n'), 'what was missed')
	assert.deepEqual(second.text.match(/^data:\d+$/gm), ['data:3', 'data:4'])

	const rejected = await fetch(`${url}/secret?token=bad`)
	assert.equal(rejected.status, 401)
	assert.match(await rejected.text(), /^event:error\n/)
	const third = await open(`${url}/secret?token=good`)
	assert.equal(third.response.status, 200)
	await until(async () => (await stats()).listeners === 2, 'a client that was let in listens')

	const silent = connect(port, '127.0.0.1').pause()
	silent.on('error', () => {})
	silent.write('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n')
	await until(async () => (await stats()).connections === 3, 'a client that never reads')
	const data = 'x'.repeat(LARGE)
	for (let sent = 0; (await stats()).slowDisconnects === 0; sent++) {
		assert(sent < MOST, 'a client that never reads is not cut off')
		await ask(`/send?data=${data}`)
	}
	silent.destroy()
	assert.equal((await stats()).connections, 2)

	await ask('/close')
	await until(() => second.over && third.over, 'the shutdown ends all streams')
	assert.match(second.text, /\n\nretry:\d+\n\n$/)
	await ask('/quit')
}

let failed = false
for (const runtime of RUNTIMES) {
	const [file, ...first] = commandOf(runtime)
	for (const kind of ['web', 'node']) {
		const server = spawn(file, [...first, ...runtime.args, SERVER, kind], {
			stdio: ['ignore', 'pipe', 'inherit'],
			// npx starts the runtime as a process of its own: both are in one group.
			detached: true,
		})
		const over = once(server, 'exit')
		try {
			const [line] = await once(createInterface(server.stdout), 'line')
			await checkServer(Number(/^port (\d+)$/.exec(line)?.[1]))
			await over
			console.log(`ok   ${runtime.name} (${kind})`)
		} catch (error) {
			failed = true
			console.log(`FAIL ${runtime.name} (${kind}): ${error.message}`)
			process.kill(-server.pid)
		}
	}
}
process.exitCode = failed ? 1 : 0

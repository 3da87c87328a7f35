/**
 * Runs the README's first command, `npx --yes pnpm@… demo`, as a user does: waits for the address it prints, opens the
 * page and a stream, and ends it as Ctrl-C does. Once as it is, and once with three instances.
 * Installs what is missing, so the first start may take minutes. The port is a free one, by `PORT=0`.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
/** For the start, with an installation, and for each of the other steps; ms. */
const START = 300_000
const STEP = 15_000

/** The command as the README has it, so that what is checked is what is documented. */
function documented() {
	const [command] =
		/^npx --yes pnpm@\S+ demo/m.exec(readFileSync(new URL('../README.md', import.meta.url), 'utf8')) ?? []
	assert(command, 'the README has no command for the demo')
	return command.split(' ')
}

async function within(ms, what, promise) {
	let timer
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`not within ${ms / 1000} s: ${what}`)), ms)
	})
	return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Resolves with the address that the demo prints. Its output is read until the end, so that it can go on printing. */
function addressOf(child) {
	let text = ''
	return new Promise((resolve, reject) => {
		child.stdout.setEncoding('utf8').on('data', (part) => {
			text += part
			const [, address] = /^evstream demo: (\S+)$/m.exec(text) ?? []
			if (address) resolve(address)
		})
		child.on('close', () => reject(new Error(`the demo ended without an address:\n${text}`)))
	})
}

/** Reads the stream until the event comes. */
async function receive(name, response) {
	const decoder = new TextDecoder()
	let text = ''
	for await (const bytes of response.body) {
		text += decoder.decode(bytes, { stream: true })
		if (text.includes(`event:${name}\n`)) return
	}
	throw new Error(`the stream ended without the event ${name}:\n${text}`)
}

async function check(...args) {
	const [file, ...rest] = [...documented(), ...args]
	// A process group of its own: Ctrl-C reaches npx, pnpm and the demo alike.
	const child = spawn(file, rest, {
		cwd: root,
		env: { ...process.env, PORT: '0' },
		stdio: ['ignore', 'pipe', 'inherit'],
		detached: true,
	})
	const ended = once(child, 'close')
	try {
		const address = await within(START, 'the address', addressOf(child))
		const page = await within(STEP, 'the page', fetch(address))
		assert.equal(page.status, 200)
		assert.match(await page.text(), /<title>/)
		const stream = await within(STEP, 'the stream', fetch(new URL('/events', address)))
		assert.equal(stream.headers.get('content-type')?.split(';')[0], 'text/event-stream')
		await within(STEP, 'an event', receive('clock', stream))
		process.kill(-child.pid, 'SIGINT')
		await within(STEP, 'the end after Ctrl-C', ended)
		await assert.rejects(fetch(address), 'the demo still answers')
		console.log(`${rest.slice(2).join(' ')}: the page and a stream at ${address}, then a clean end`)
	} finally {
		try {
			process.kill(-child.pid, 'SIGKILL')
		} catch {
			// The group is gone, as it should be.
		}
	}
}

await check()
await check('--instances', '3')

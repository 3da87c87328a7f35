import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export interface DemoProcess {
	readonly url: string
	/** Resolves with the match once the process has printed it. */
	printed(pattern: RegExp): Promise<RegExpMatchArray>
	/** SIGTERM; resolves with the exit code. */
	stop(): Promise<number | null>
}

/** The demo as `pnpm demo` starts it. Resolves when it has printed its address. */
export async function spawnDemo(...args: string[]): Promise<DemoProcess> {
	const child = spawn(process.execPath, ['--conditions=@evstream/source', '--import', 'tsx', MAIN, ...args], {
		stdio: ['ignore', 'pipe', 'pipe'],
	})
	const output = collect(child)
	const [, url = ''] = await output(/^evstream demo: (http:\/\/localhost:\d+)$/m)
	return {
		url,
		printed: output,
		async stop() {
			if (child.exitCode !== null) return child.exitCode
			const exit = once(child, 'exit')
			child.kill('SIGTERM')
			const [code] = await exit
			return code as number | null
		},
	}
}

function collect(child: ChildProcess): (pattern: RegExp) => Promise<RegExpMatchArray> {
	let text = ''
	let wake = () => {}
	let news = new Promise<void>((resolve) => {
		wake = resolve
	})
	const tell = () => {
		wake()
		news = new Promise((resolve) => {
			wake = resolve
		})
	}
	for (const stream of [child.stdout, child.stderr]) {
		stream?.setEncoding('utf8').on('data', (chunk: string) => {
			text += chunk
			tell()
		})
	}
	child.on('exit', tell)
	return async (pattern) => {
		for (;;) {
			const match = text.match(pattern)
			if (match) return match
			if (child.exitCode !== null) throw new Error(`The demo ended before it printed ${pattern}:\n${text}`)
			await news
		}
	}
}

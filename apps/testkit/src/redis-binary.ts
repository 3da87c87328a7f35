import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort } from './free-port.js'
import { until } from './until.js'

/** How to start a server. */
export interface RedisBinaryOptions {
	/** A fixed port; a free one otherwise. */
	port?: number | undefined
	/** The data folder; a temporary one, removed by `stop()`, otherwise. */
	dir?: string | undefined
	/** More arguments, after and so over the default ones (`--save "" --appendonly no --bind 127.0.0.1`). */
	args?: readonly string[] | undefined
}

const undo = new Set<() => void>()
process.on('exit', () => {
	for (const step of undo) step()
})

/** The path of `redis-server` or `valkey-server`, whichever the PATH has. */
export function findRedisBinary(): string | undefined {
	const { PATH = '' } = process.env
	const folders = PATH.split(delimiter)
	return ['redis-server', 'valkey-server']
		.flatMap((name) => folders.map((folder) => join(folder, name)))
		.find((path) => existsSync(path))
}

/** A Redis server as a child process, which dies with this one. */
export class RedisBinary {
	readonly host = '127.0.0.1'
	readonly port: number
	readonly #binary: string
	readonly #dir: string
	readonly #ownsDir: boolean
	readonly #args: readonly string[]
	#child: ChildProcess | undefined
	#guard: ChildProcess | undefined

	private constructor(binary: string, port: number, options: RedisBinaryOptions) {
		this.port = port
		this.#binary = binary
		this.#dir = options.dir ?? mkdtempSync(join(tmpdir(), 'evstream-redis-'))
		this.#ownsDir = options.dir === undefined
		this.#args = options.args ?? []
		undo.add(this.#undo)
	}

	/** Starts one and waits until it answers. */
	static async start(binary: string, options: RedisBinaryOptions): Promise<RedisBinary> {
		// Somebody else may take a free port before the server binds it.
		for (let attempt = 1; ; attempt++) {
			const server = new RedisBinary(binary, options.port ?? (await freePort()), options)
			try {
				await server.#launch()
				return server
			} catch (error) {
				await server.stop()
				if (options.port !== undefined || attempt === 5) throw error
			}
		}
	}

	/** For example `redis-server 7.0.15`. */
	get version(): string {
		const text = execFileSync(this.#binary, ['--version'], { encoding: 'utf8' })
		return `${this.#binary.split('/').pop()} ${/v=(\S+)/.exec(text)?.[1] ?? 'of unknown version'}`
	}

	/** SIGKILL: nothing is saved. */
	async kill(): Promise<void> {
		const child = this.#child
		this.#child = undefined
		this.#guard?.kill('SIGKILL')
		if (!child || child.exitCode !== null || child.signalCode !== null) return
		// It must not keep the process alive, but who waits for its end has to see it.
		child.ref()
		const exited = once(child, 'exit')
		child.kill('SIGKILL')
		await exited
	}

	/** Kills it if it runs, and starts it on the same port, empty or with the data it had. */
	async restart({ keepData = false }: { keepData?: boolean } = {}): Promise<void> {
		if (keepData && this.#child) await ask(this.port, 'SAVE', 5000)
		await this.kill()
		if (!keepData) {
			for (const name of ['dump.rdb', 'appendonlydir', 'appendonly.aof']) {
				rmSync(join(this.#dir, name), { recursive: true, force: true })
			}
		}
		await this.#launch()
	}

	/** SIGSTOP: the kernel still accepts connections, nobody answers. */
	pause(): void {
		this.#child?.kill('SIGSTOP')
	}

	/** SIGCONT. */
	resume(): void {
		this.#child?.kill('SIGCONT')
	}

	/** Kills it and removes its temporary folder. Idempotent. */
	async stop(): Promise<void> {
		await this.kill()
		this.#undo()
	}

	readonly #undo = (): void => {
		undo.delete(this.#undo)
		this.#child?.kill('SIGKILL')
		if (this.#ownsDir) rmSync(this.#dir, { recursive: true, force: true })
	}

	async #launch(): Promise<void> {
		const defaults = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
		const child = spawn(
			this.#binary,
			[...defaults, '--dir', this.#dir, '--logfile', 'redis.log', ...this.#args],
			{
				stdio: 'ignore',
			},
		)
		this.#child = child
		child.unref()
		await once(child, 'spawn')
		this.#guard = guard(child, this.#ownsDir ? this.#dir : '')
		await until(
			async () => {
				if (child.exitCode !== null) throw new Error(this.#log())
				return /^(\+PONG|-NOAUTH)/.test(await ask(this.port, 'PING', 500))
			},
			{ what: `${this.#binary} on port ${this.port}`, timeout: 10_000 },
		)
		if (child.exitCode !== null) throw new Error(this.#log())
	}

	#log(): string {
		const file = join(this.#dir, 'redis.log')
		return `${this.#binary} ended: ${existsSync(file) ? readFileSync(file, 'utf8').slice(-500) : 'no log'}`
	}
}

/**
 * A process that is killed runs no exit handler. So a shell waits on a pipe from this process, which the kernel
 * closes however this process ends, and then kills the server and removes its folder, if that is not ''.
 */
function guard(child: ChildProcess, dir: string): ChildProcess {
	const script = 'read _; kill -9 "$0"; [ -z "$1" ] || rm -rf "$1"'
	const shell = spawn('sh', ['-c', script, String(child.pid), dir], {
		stdio: ['pipe', 'ignore', 'ignore'],
		detached: true,
	})
	shell.on('error', () => {})
	shell.stdin?.on('error', () => {})
	shell.unref()
	// The pipe must not keep this process alive; a child's stdin is a socket at run time.
	if (shell.stdin && 'unref' in shell.stdin && typeof shell.stdin.unref === 'function') shell.stdin.unref()
	return shell
}

/** Sends one inline command on a connection of its own and gives the first line of the answer. */
function ask(port: number, command: string, timeout: number): Promise<string> {
	return new Promise((resolve, reject) => {
		const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`))
		socket.setTimeout(timeout, () => socket.destroy(new Error(`No answer to ${command}`)))
		socket.once('data', (data) => {
			resolve(data.toString().split('\r\n')[0] ?? '')
			socket.destroy()
		})
		socket.once('error', reject)
		socket.once('close', () => reject(new Error(`Closed before an answer to ${command}`)))
	})
}

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type TcpProxy, until } from '@evstream/testkit'
import type { InstanceNews, InstanceOrder, InstanceSettings } from '../workers/stream-instance.js'
import type { Transcript } from './transcript.js'

/** How long an instance may take to start, in ms. */
export const STARTING = 30_000

/** An instance of a fleet in a process of its own, which can be killed and started again. */
export class FleetInstance {
	readonly proxy: TcpProxy
	readonly name: string
	/** Why messages were refused, and how many. */
	readonly refused: Map<string, number> = new Map()
	counters: Readonly<Record<string, number>> | undefined
	ended: readonly (string | undefined)[] | undefined
	port: number | undefined
	readonly #settings: Omit<InstanceSettings, 'publisher'>
	readonly #transcript: Transcript
	#child: ChildProcess | undefined
	#incarnation = 0

	constructor(
		name: string,
		proxy: TcpProxy,
		settings: Omit<InstanceSettings, 'publisher'>,
		transcript: Transcript,
	) {
		this.name = name
		this.proxy = proxy
		this.#settings = settings
		this.#transcript = transcript
	}

	start(): void {
		const publisher = `${this.name}.${++this.#incarnation}`
		const settings: InstanceSettings = { ...this.#settings, publisher }
		const child = fork(
			new URL('../workers/stream-instance.ts', import.meta.url),
			[JSON.stringify(settings)],
			{ execArgv: ['--conditions=@evstream/source', '--import', 'tsx'] },
		)
		this.#child = child
		child.on('error', () => {})
		child.on('message', (news: InstanceNews) => this.#take(news, publisher))
	}

	async isUp(): Promise<void> {
		await until(() => this.port !== undefined, { timeout: STARTING, what: `instance ${this.name}` })
	}

	tell(order: InstanceOrder): void {
		this.#child?.send(order)
	}

	/** SIGSTOP: the process stands still, its connections stay. */
	pause(): void {
		this.#child?.kill('SIGSTOP')
	}

	/** SIGCONT. */
	resume(): void {
		this.#child?.kill('SIGCONT')
	}

	async kill(): Promise<void> {
		const child = this.#child
		this.#child = undefined
		this.port = undefined
		if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
		const exited = once(child, 'exit')
		child.kill('SIGKILL')
		await exited
	}

	#take(news: InstanceNews, publisher: string): void {
		for (const [channel, number, id] of news.accepted ?? []) {
			this.#transcript.accept(channel, `${publisher} ${number}`, id)
		}
		for (const [channel, number, why] of news.refused ?? []) {
			this.refused.set(why, (this.refused.get(why) ?? 0) + 1)
			this.#transcript.refuse(channel, `${publisher} ${number}`, why)
		}
		this.port = news.port ?? this.port
		this.counters = news.stopped ?? this.counters
		this.ended = news.ended ?? this.ended
	}
}

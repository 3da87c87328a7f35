import { randomUUID } from 'node:crypto'
import { EvClosedError, EvUnavailableError } from '@evstream/core'
import type { RedisBus, RedisCommands } from '@evstream/pubsub'
import { KnownHead } from './known-head.js'
import { defineScripts, runScript, type Script } from './script.js'
import { ServerClock } from './server-clock.js'

/** The shortest time the log keeps its metadata, in ms: positions that clients keep longer may be reset. */
export const KEEP: number = 3 * 86_400_000

/** The most reads and batches of one log that may be without an answer at a time. */
const PENDING = 10_000

/** A script call that failed. */
export class LogCommandError extends EvUnavailableError {
	/** What Redis answered, for example `EVLATE 1700000000000`; `undefined` if it did not. */
	readonly answer: string | undefined
	/** The call was sent, and nothing is known of its outcome. */
	readonly uncertain: boolean

	constructor(message: string, cause: unknown, answer: string | undefined, uncertain: boolean) {
		super(message, { cause })
		this.answer = answer
		this.uncertain = uncertain
	}
}

/**
 * Runs the scripts of one log. Each call tells what this instance knows of the log, and says whether the server may be
 * another one than before, so that its identity must be checked.
 */
export class LogCommands {
	/** The highest position that any answer or message told. */
	readonly head: KnownHead = new KnownHead()
	/** The server's clock, as answers tell it. */
	readonly clock: ServerClock = new ServerClock()
	readonly #bus: RedisBus
	readonly #commands: RedisCommands
	readonly #onError: (error: unknown) => void
	/** The connection on which the identity of the server was checked. */
	#checkedOn = -1
	/** The last refusal that was reported, until a call succeeds. */
	#reported = ''

	/** @param onError - Told once per outage what the server's settings refuse. */
	constructor(bus: RedisBus, scripts: readonly Script[], onError: (error: unknown) => void) {
		this.#bus = bus
		this.#commands = bus.commands({ limit: PENDING })
		this.#onError = onError
		defineScripts(bus.client, scripts)
	}

	/**
	 * Runs a script whose first arguments are the known epoch, the known seq and `check`.
	 *
	 * @param args - The further arguments; asked each time the call is sent.
	 * @throws EvClosedError if the bus is closed.
	 * @throws LogCommandError for everything else.
	 */
	async run(
		script: Script,
		keys: readonly string[],
		args: () => readonly (string | number)[],
		deadlineMs: number,
	): Promise<unknown> {
		let connection: number | undefined
		let attempts = 0
		try {
			const reply = await this.#commands.run((client) => {
				connection = this.#bus.connection
				attempts++
				const check = this.#bus.resends || connection !== this.#checkedOn ? 1 : 0
				return runScript(client, script, keys, [this.head.epoch, this.head.seq, check, ...args()])
			}, deadlineMs)
			if (connection !== undefined) this.#checkedOn = connection
			this.#reported = ''
			return reply
		} catch (cause) {
			throw this.#explain(cause, attempts)
		}
	}

	#explain(cause: unknown, attempts: number): unknown {
		const sent = attempts > 0
		if (!(cause instanceof Error)) return new LogCommandError(String(cause), cause, undefined, sent)
		if (Reflect.get(cause, 'code') === 'EV_CLOSED') return new EvClosedError('The Redis adapter')
		if (cause.name !== 'ReplyError') {
			return new LogCommandError(`Redis did not take a command: ${cause.message}`, cause, undefined, sent)
		}
		const [answer = cause.message, code, detail] = /(EV[A-Z]+)(?: (\w+))?/.exec(cause.message) ?? []
		const setting = settingRefused(code, detail)
		// Where in a script it failed tells a user nothing.
		const message = setting ?? `Redis refused a command: ${cause.message.replace(/\.? script: .*/s, '')}.`
		// The script answers for all attempts. What the server refuses before the script runs, such as a missing permission,
		// says nothing about an attempt whose answer was lost.
		const error = new LogCommandError(message, cause, answer, code === undefined && attempts > 1)
		if (setting !== undefined && setting !== this.#reported) {
			this.#reported = setting
			this.#onError(error)
		}
		return error
	}
}

function settingRefused(code: string | undefined, detail: string | undefined): string | undefined {
	if (code === 'EVNOINFO') {
		return 'Redis does not let this user run INFO, without which a server that lost data cannot be told from one that did not. Allow it: ACL SETUSER <user> +info.'
	}
	if (code === 'EVLAYOUT') {
		return `Another version of evstream uses this namespace: its log has the layout ${detail}, this one needs the layout 2. Stop the other instances and delete the log's keys, or use another namespace.`
	}
	return undefined
}

/** Used if an epoch has to begin. */
export function newEpoch(): string {
	return randomUUID().replaceAll('-', '').slice(0, 12)
}

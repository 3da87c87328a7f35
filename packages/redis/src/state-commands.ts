import { EvClosedError, EvUnavailableError, type Unwatch } from '@evstream/core'
import type { RedisBus, RedisCommands } from '@evstream/pubsub'
import { outsideContext } from './context.js'
import { defineScripts, runScript, type Script } from './script.js'
import { STATE_SCRIPTS, spoiltKey } from './state-scripts.js'

/** The most commands that may be without an answer at a time: every state of a process checks its value after an outage. */
const PENDING = 100_000

/** Runs the commands of states on the bus, and says of each failure what the caller may rely on. */
export class StateCommands {
	readonly #bus: RedisBus
	readonly #commands: RedisCommands
	/** How long one command may take, in ms. */
	readonly #deadline: number
	#closed = false

	constructor(bus: RedisBus, deadline: number) {
		this.#bus = bus
		this.#commands = bus.commands({ limit: PENDING })
		this.#deadline = deadline
		defineScripts(bus.client, STATE_SCRIPTS)
	}

	/** Whatever is asked from now on rejects with `EV_CLOSED`. */
	close(): void {
		this.#closed = true
	}

	/**
	 * @param name - Of the state, for errors.
	 * @param onStart - Called each time it is sent: also again, after a connection was lost with the answer.
	 */
	script(
		name: string,
		script: Script,
		keys: readonly string[],
		args: readonly (string | number)[],
		within?: number,
		onStart: () => void = () => {},
	): Promise<unknown> {
		const run = (client: RedisBus['client']): Promise<unknown> => {
			onStart()
			return runScript(client, script, keys, args)
		}
		return this.run(name, run, within)
	}

	async run<T>(
		name: string,
		run: (client: RedisBus['client']) => Promise<T>,
		within: number = this.#deadline,
	): Promise<T> {
		let sent = false
		if (this.#closed) throw closed()
		try {
			return await outsideContext(() =>
				this.#commands.run(
					(client) => {
						sent = true
						return run(client)
					},
					Math.min(within, this.#deadline),
				),
			)
		} catch (cause) {
			if (isClosed(cause)) throw closed()
			// Where in a script it failed tells a user nothing.
			const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\.? script: .*/s, '')
			if (reason.startsWith('WRONGTYPE')) throw malformed(`of the state "${name}"`, cause)
			const key = spoiltKey(reason)
			if (key !== undefined) throw malformed(`"${key}"`, cause)
			const message = `Redis did not take a command: ${reason}`
			throw sent ? new EvUnavailableError(message, { cause }) : unsent(message, cause)
		}
	}

	subscribe(channel: string, handler: (payload: string) => void): Promise<Unwatch> {
		if (this.#closed) return Promise.reject(closed())
		return this.#bus.subscribe(channel, handler).catch((cause: unknown) => {
			if (isClosed(cause)) throw closed()
			throw new EvUnavailableError(`Redis did not let the channel "${channel}" be subscribed.`, { cause })
		})
	}
}

/**
 * A key holds something else.
 *
 * @param which - Names it.
 */
export function malformed(which: string, cause?: unknown): EvUnavailableError {
	return new EvUnavailableError(
		`The Redis key ${which} holds something else. Remove it, or use another namespace.`,
		{ cause },
	)
}

/** It did not take place and will not: see `StateStore`. */
export function unsent(message: string, cause?: unknown): EvUnavailableError {
	return Object.assign(new EvUnavailableError(message, { cause }), { sent: false })
}

function closed(): EvClosedError {
	return new EvClosedError('The Redis adapter')
}

function isClosed(error: unknown): boolean {
	return error instanceof Error && Reflect.get(error, 'code') === 'EV_CLOSED'
}

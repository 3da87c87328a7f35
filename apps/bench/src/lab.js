/** A fresh server process with one contender, and a fresh load client. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { command } from './pin.js'
import { Remote } from './rpc.js'

/** @import { Case, Cpu, LoadReport, Memory, RunPlan, RunResult } from './types.js' */

/**
 * @param {'server' | 'load'} role
 * @param {readonly string[]} args
 * @param {string} [program] The file in this folder that it runs, without its ending.
 */
export function launch(role, args, program = `${role}/main`) {
	const main = fileURLToPath(new URL(`./${program}.js`, import.meta.url))
	const [file, argv] = command(role, ['--expose-gc', main, ...args])
	// No inherited options: a loader or an export condition would measure something else.
	const env = { ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '' }
	return new Remote(spawn(file, argv, { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] }), role)
}

export class Lab {
	#server
	#load
	/** Connections opened so far. */
	#opened = 0
	/** Connections that read. */
	#reading = 0

	/**
	 * @param {string} contender
	 * @param {NonNullable<Case['transport']>} [transport]
	 */
	constructor(contender, transport) {
		const how = transport === undefined ? [] : [transport]
		// On the web client and server are one process, which does what both are told.
		this.#server = launch('server', [contender, ...how], transport === 'web' ? 'web/main' : 'server/main')
		this.#load = transport === 'web' ? this.#server : launch('load', how)
	}

	/**
	 * @param {string} contender
	 * @param {NonNullable<Case['transport']>} [transport] HTTP/1.1 without it.
	 * @returns {Promise<Lab>}
	 */
	static async open(contender, transport) {
		const lab = new Lab(contender, transport)
		try {
			const ports = await lab.#server.call('start', undefined, 30_000)
			await lab.#load.call('aim', ports, 30_000)
			return lab
		} catch (error) {
			await lab.close()
			throw error
		}
	}

	/**
	 * Opens more connections; resolves when each of them has its head and the server counts them.
	 *
	 * @param {number} count
	 * @param {{ slow?: boolean }} [options] `slow`: they never read anything after the head.
	 */
	async connect(count, { slow = false } = {}) {
		await this.#load.call('connect', { count, slow })
		this.#opened += count
		if (!slow) this.#reading += count
		await this.#server.call('settle', this.#opened, 60_000)
	}

	/**
	 * Sends one message and has the load client parse all that every connection got: status, head, chunks, event
	 * and data. Throws if one of them is not right. It comes before anything is timed.
	 *
	 * @param {Pick<RunPlan, 'kind' | 'bytes' | 'to'>} plan
	 */
	async verify(plan) {
		const expected = await this.#server.call('probe', plan)
		await this.#load.call('verify', expected, 120_000)
	}

	/**
	 * Sends what the plan says and waits until all of it arrived. Throws if a connection did not get every event,
	 * once and in order.
	 *
	 * @param {Omit<RunPlan, 'clients'>} partial
	 * @returns {Promise<RunResult & { load: LoadReport, deliveries: number }>}
	 */
	async run(partial) {
		/** @type {RunPlan} */
		const plan = { ...partial, clients: partial.to === 'one' ? 1 : this.#reading }
		await this.#load.call('expect', plan)
		/** @type {RunResult} */
		const result = await this.#server.call('run', plan, 900_000)
		/** @type {LoadReport} */
		const load = await this.#load.call('report')
		const { sent } = result
		if (load.least !== sent || load.most !== sent || load.disorder > 0 || load.ended > 0) {
			throw new Error(
				`not delivered: ${sent} messages sent, ${load.least} to ${load.most} per connection arrived, ` +
					`${load.disorder} not in order, ${load.ended} connections ended`,
			)
		}
		return { ...result, load, deliveries: sent * plan.clients }
	}

	/** @returns {Promise<Cpu>} CPU time of the server so far. */
	cpu() {
		return this.#server.call('cpu')
	}

	/** @returns {Promise<Memory>} The server's memory after garbage collection. */
	memory() {
		return this.#server.call('memory')
	}

	/** @returns {Promise<number>} The connections the server counts now. */
	count() {
		return this.#server.call('count')
	}

	async close() {
		await Promise.all([this.#server.stop(), this.#load.stop()])
	}
}

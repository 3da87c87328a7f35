/** A fresh redis-server, and a process at each end of a link through it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { launch } from '../lab.js'

/**
 * @typedef {object} SendPlan
 * @property {number} messages
 * @property {number} bytes
 * @property {number} lanes Messages without an answer at a time.
 * @property {number} [perSecond] A steady pace, in place of as fast as the lanes go.
 */

/** @typedef {{ wallMs: number, p50: number, p99: number }} SendResult */

const STARTING_MS = 10_000

async function freePort() {
	const server = createServer().listen(0, '127.0.0.1')
	await once(server, 'listening')
	const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
	server.close()
	await once(server, 'close')
	return port
}

/** @param {number} port */
async function answers(port) {
	const socket = connect(port, '127.0.0.1')
	try {
		await once(socket, 'connect')
		return true
	} catch {
		return false
	} finally {
		socket.destroy()
	}
}

export class RedisLab {
	#server
	#sender
	#receiver

	/**
	 * @param {import('node:child_process').ChildProcess} server
	 * @param {string} contender
	 * @param {number} port
	 */
	constructor(server, contender, port) {
		const url = `redis://127.0.0.1:${port}`
		this.#server = server
		this.#sender = launch('server', [contender, url], 'redis/main')
		this.#receiver = launch('load', [contender, url], 'redis/main')
	}

	/**
	 * @param {string} contender
	 * @returns {Promise<RedisLab>}
	 */
	static async open(contender) {
		const port = await freePort()
		const server = spawn(
			'redis-server',
			['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
			{ stdio: 'ignore' },
		)
		await once(server, 'spawn')
		const lab = new RedisLab(server, contender, port)
		try {
			const deadline = Date.now() + STARTING_MS
			while (!(await answers(port))) {
				if (Date.now() > deadline) throw new Error('redis-server did not start')
				await sleep(20)
			}
			await Promise.all([lab.#sender.call('start'), lab.#receiver.call('start')])
			await lab.#receiver.call('receive')
			return lab
		} catch (error) {
			await lab.close()
			throw error
		}
	}

	/**
	 * Sends, and waits until all of it arrived, once and in order.
	 *
	 * @param {SendPlan} plan
	 * @returns {Promise<SendResult>}
	 */
	async send(plan) {
		await this.#receiver.call('expect')
		const { started } = await this.#sender.call('send', plan)
		const { arrivedAt, events, disorder, p50, p99 } = await this.#receiver.call('arrived', plan.messages)
		if (events !== plan.messages || disorder > 0) {
			throw new Error(`not delivered: ${events} of ${plan.messages} arrived, ${disorder} not in order`)
		}
		return { wallMs: (arrivedAt - started) / 1000, p50, p99 }
	}

	async close() {
		await Promise.all([this.#sender.stop(), this.#receiver.stop()])
		if (this.#server.exitCode !== null || this.#server.signalCode !== null) return
		const gone = once(this.#server, 'exit')
		this.#server.kill('SIGKILL')
		await gone
	}
}

/** All clients of a run: opened, verified, then counted. How one is opened depends on the transport. */
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../clock.js'
import { Connection } from './connection.js'
import { Tally } from './tally.js'
import { fault } from './verify.js'

/** @import { LoadReport, RunPlan } from '../types.js' */

/**
 * @callback Open
 * @param {Connection} connection Takes what comes.
 * @param {number} index How many clients were opened before.
 * @returns {Promise<void>} Resolves when the response began.
 */

/** Connections being opened at a time. */
const OPENING = 64
const CONNECT_MS = 60_000
const VERIFY_MS = 20_000

export class Clients {
	#open
	#tally
	/** @type {Connection[]} */
	#connections = []
	#started = 0
	#cpuBefore = process.cpuUsage()

	/**
	 * @param {Open} open
	 * @param {(acks: number) => void} acknowledge
	 */
	constructor(open, acknowledge) {
		this.#open = open
		this.#tally = new Tally(acknowledge)
	}

	#reading() {
		return this.#connections.filter((connection) => !connection.slow)
	}

	/** @param {{ count: number, slow: boolean }} args */
	async connect({ count, slow }) {
		let left = count
		const wanted = this.#tally.heads + count
		const lane = async () => {
			while (left-- > 0) {
				const connection = new Connection(this.#tally, slow)
				this.#connections.push(connection)
				await this.#open(connection, this.#connections.length - 1)
			}
		}
		const timeout = AbortSignal.timeout(CONNECT_MS)
		await Promise.race([
			Promise.all(Array.from({ length: OPENING }, lane)),
			new Promise((_, reject) => {
				timeout.addEventListener('abort', () => {
					reject(new Error(`${wanted - this.#tally.heads} of ${count} connections got no head`))
				})
			}),
		])
	}

	/** @param {unknown} expected The data of the one event that each connection must have got. */
	async verify(expected) {
		const deadline = now() + VERIFY_MS * 1000
		for (;;) {
			let reason
			for (const connection of this.#reading()) {
				if (connection.captured === undefined) continue
				reason = fault(connection.captured, expected, connection.head)
				if (reason !== undefined) break
				connection.captured = undefined
			}
			if (reason === undefined) return
			if (now() > deadline) throw new Error(`verification: ${reason}`)
			await sleep(20)
		}
	}

	/** @param {RunPlan} plan */
	expect(plan) {
		for (const connection of this.#connections) connection.reset()
		this.#tally.reset(plan.ackEvery * plan.clients, plan.timed === true)
		globalThis.gc?.()
		this.#started = now()
		this.#cpuBefore = process.cpuUsage()
	}

	/** @returns {LoadReport} */
	report() {
		const cpu = process.cpuUsage(this.#cpuBefore)
		const wallMs = (now() - this.#started) / 1000
		const tally = this.#tally
		const all = this.#reading()
		return {
			events: tally.events,
			least: all.reduce((least, { events }) => Math.min(least, events), Number.POSITIVE_INFINITY),
			most: all.reduce((most, { events }) => Math.max(most, events), 0),
			disorder: all.reduce((sum, { disorder }) => sum + disorder, 0),
			ended: all.filter(({ ended }) => ended).length,
			p50: tally.percentileMs(0.5),
			p99: tally.percentileMs(0.99),
			max: tally.maxMs,
			cpu,
			wallMs,
		}
	}
}

/** A fresh server, and a process whose clients all come back to it at once. */
import { launch } from '../lab.js'

export class ReconnectLab {
	#contender
	#server
	#load

	/** @param {string} contender */
	constructor(contender) {
		this.#contender = contender
		this.#server = launch('server', [contender], 'reconnect/server')
		this.#load = launch('load', [], 'reconnect/load')
	}

	/**
	 * @param {{ count: number, missed: number, channels: number, bytes: number }} plan
	 * @returns {Promise<{ p50: number, p99: number, max: number }>} Ms until clients had everything; from a bare
	 * server that is the head.
	 */
	async comeBack({ count, missed, channels, bytes }) {
		const port = await this.#server.call('start', undefined, 30_000)
		const lastEventId = await this.#server.call('miss', { count: missed, channels, bytes })
		const expected = this.#contender === 'evstream' ? missed : 0
		return this.#load.call('comeBack', { port, count, lastEventId, missed: expected }, 120_000)
	}

	async close() {
		await Promise.all([this.#server.stop(), this.#load.stop()])
	}
}

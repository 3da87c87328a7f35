/** A process at each end of a link through Redis. */
import { launch } from '../lab.js'

/**
 * @typedef {object} SendPlan
 * @property {number} messages
 * @property {number} bytes
 * @property {number} lanes Messages without an answer at a time.
 * @property {number} [perSecond] A steady pace, in place of as fast as the lanes go.
 */

/** @typedef {{ wallMs: number, p50: number, p99: number }} SendResult */

export class RedisLab {
	#sender
	#receiver

	/**
	 * @param {string} link
	 * @param {string} url
	 */
	constructor(link, url) {
		this.#sender = launch('server', [link, url], 'redis/main')
		this.#receiver = launch('load', [link, url], 'redis/main')
	}

	async start() {
		await Promise.all([this.#sender.call('start'), this.#receiver.call('start')])
		await this.#receiver.call('receive')
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
	}
}

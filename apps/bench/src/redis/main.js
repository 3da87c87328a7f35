/** A process at one end of a link through Redis. */
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../clock.js'
import { Connection } from '../load/connection.js'
import { Tally } from '../load/tally.js'
import { messages } from '../messages.js'
import { answer } from '../rpc.js'
import { links } from './links.js'

/** @import { Link } from './links.js' */
/** @import { SendPlan } from './lab.js' */

const tally = new Tally(() => {})
const connection = new Connection(tally, false)
connection.captured = undefined
let arrivedAt = 0
/** @type {Link} */
let link

answer({
	async start() {
		const [, , name = '', url = ''] = process.argv
		const open = links[name]
		if (open === undefined) throw new Error(`there is no link ${name}`)
		link = await open(url)
	},

	receive: () =>
		link.receive((bytes) => {
			tally.arrive()
			connection.take(bytes)
			arrivedAt = now()
		}),

	expect() {
		connection.reset()
		tally.reset(Number.POSITIVE_INFINITY, true)
		globalThis.gc?.()
	},

	/**
	 * @param {SendPlan} plan
	 * @returns {Promise<{ started: number }>}
	 */
	async send({ messages: count, bytes, lanes, perSecond }) {
		const next = messages({ kind: 'string', bytes, timed: true })
		const message = () => String(next())
		globalThis.gc?.()
		const started = now()
		let sent = 0
		if (perSecond === undefined) {
			const lane = async () => {
				while (sent < count) {
					sent++
					await link.send(message())
				}
			}
			await Promise.all(Array.from({ length: lanes }, lane))
			return { started }
		}
		/** @type {Promise<unknown>[]} */
		const accepted = []
		while (sent < count) {
			const due = Math.min(count, Math.floor(((now() - started) / 1e6) * perSecond))
			for (; sent < due; sent++) accepted.push(link.send(message()))
			await sleep(1)
		}
		await Promise.all(accepted)
		return { started }
	},

	/** @param {number} count Waits until so many arrived; gives when that was. */
	async arrived(count) {
		while (connection.events < count) await sleep(1)
		return {
			arrivedAt,
			events: connection.events,
			disorder: connection.disorder,
			p50: tally.percentileMs(0.5),
			p99: tally.percentileMs(0.99),
		}
	},
})

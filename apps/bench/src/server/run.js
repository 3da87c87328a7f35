/** Sends the messages of a run at the pace that is the same for every contender. */
import { now } from '../clock.js'
import { messages } from '../messages.js'

/** @import { RunPlan, RunResult, Sender } from '../types.js' */

const STALLED_MS = 30_000
const RSS_EVERY = 10

/**
 * @param {Sender} contender
 * @param {import('./acks.js').Acks} acks
 * @param {RunPlan} plan
 * @returns {Promise<RunResult>}
 */
export function run(contender, acks, plan) {
	const { perTick, ackEvery, window, everyMs, budgetMs = Number.POSITIVE_INFINITY } = plan
	const message = messages(plan)
	const toAll = plan.to === 'all'
	let total = plan.messages
	let sent = 0
	let ticks = 0
	let peakRss = 0
	acks.reset()
	globalThis.gc?.()

	return new Promise((resolve, reject) => {
		let progress = -1
		const watchdog = setInterval(() => {
			const moved = sent + acks.count
			if (moved === progress) {
				clearInterval(watchdog)
				reject(new Error(`stalled: ${sent} messages sent, ${acks.count * ackEvery} arrived everywhere`))
			}
			progress = moved
		}, STALLED_MS)

		const started = now()
		const before = process.cpuUsage()

		function tick() {
			if (toAll) for (let i = 0; i < perTick; i++) contender.broadcast(message())
			else for (let i = 0; i < perTick; i++) contender.one(message())
			sent += perTick
			ticks++
			if (plan.watchRss && ticks % RSS_EVERY === 0) peakRss = Math.max(peakRss, process.memoryUsage.rss())
			// Only whole acknowledgements, so that the last one says that everything arrived.
			if (sent % ackEvery === 0 && (now() - started) / 1000 > budgetMs) total = sent
			if (sent >= total) finish()
			else if (everyMs !== undefined) {
				setTimeout(tick, Math.max(0, ticks * everyMs - (now() - started) / 1000))
			} else proceed()
		}

		function proceed() {
			if (sent - acks.count * ackEvery < window) setImmediate(tick)
			else acks.next(proceed)
		}

		function finish() {
			if (acks.count * ackEvery < sent) {
				acks.next(finish)
				return
			}
			const cpu = process.cpuUsage(before)
			clearInterval(watchdog)
			if (plan.watchRss) peakRss = Math.max(peakRss, process.memoryUsage.rss())
			resolve({ sent, cpu, wallMs: (now() - started) / 1000, peakRss })
		}

		tick()
	})
}

/** One of the processes that change the value: so many changes in flight, each awaited before the next. */
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../clock.js'
import { answer } from '../rpc.js'
import { counters } from './counters.js'

/** @import { ChangeReport, Counter } from '../types.js' */

/** A turn for timers each so many changes, where they never wait for anything. */
const CHANGES_PER_TURN = 1000

/** Changes that were confirmed, of how many the time is taken. */
const TIMED_EACH = 32

/** @type {Counter} */
let counter

answer({
	/** @param {{ name: string, url: string, key: string, lanes: number }} args */
	async start({ name, url, key, lanes }) {
		const open = counters[name]
		if (open === undefined) throw new Error(`there is no counter ${name}`)
		counter = await open(url, key, lanes)
	},

	/**
	 * Changes the value until `end`; counts everything, and apart what was confirmed from `begin` to `end`.
	 *
	 * @param {{ lanes: number, begin: number, end: number }} args
	 * @returns {Promise<ChangeReport>}
	 */
	async run({ lanes, begin, end }) {
		let done = 0
		let ended = false
		/** @type {number[]} */
		const times = []
		const lane = async () => {
			while (!ended) {
				const timed = done % TIMED_EACH === 0
				const from = timed ? now() : 0
				await counter.add()
				done++
				if (timed) times.push((now() - from) / 1000)
				if (done % CHANGES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve))
			}
		}
		const all = Promise.all(Array.from({ length: lanes }, lane))
		await sleep((begin - now()) / 1000)
		const [from, before, first] = [now(), done, times.length]
		await sleep((end - now()) / 1000)
		const [to, after] = [now(), done]
		ended = true
		await all
		const sorted = times.slice(first).sort((a, b) => a - b)
		return {
			done,
			perSecond: (after - before) / ((to - from) / 1e6),
			p50: sorted[sorted.length >> 1] ?? Number.NaN,
			p99: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
		}
	},

	/**
	 * Waits until the value is that here too.
	 *
	 * @param {number} sum
	 */
	async settle(sum) {
		const end = now() + 10e6
		for (;;) {
			const value = await counter.value()
			if (value === sum) return
			if (value > sum || now() > end) throw new Error(`the value is ${value} after ${sum} confirmed changes`)
			await sleep(10)
		}
	},
})

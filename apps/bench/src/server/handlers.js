/** What the bench asks of a process that holds a contender, however its clients reach it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { messages } from '../messages.js'
import { run } from './run.js'

/** @import { RunPlan, Sender } from '../types.js' */
/** @import { Acks } from './acks.js' */

/**
 * @param {Acks} acks
 * @param {() => Sender} contender Once it was started.
 */
export function handlers(acks, contender) {
	return {
		/** @param {number} count */
		async settle(count) {
			while (contender().count() < count) await sleep(5)
		},

		/** @param {RunPlan} plan */
		probe(plan) {
			const data = messages(plan)()
			if (plan.to === 'all') contender().broadcast(data)
			else contender().one(data)
			return data
		},

		/** @param {RunPlan} plan */
		run: (plan) => run(contender(), acks, plan),

		cpu: () => process.cpuUsage(),

		count: () => contender().count(),

		async memory() {
			// What ended a moment ago is let go in steps: timers, then weak references.
			for (let i = 0; i < 4; i++) {
				globalThis.gc?.()
				await sleep(100)
			}
			const { heapUsed, external, rss } = process.memoryUsage()
			return { heap: heapUsed, external, rss }
		},
	}
}

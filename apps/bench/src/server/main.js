/** The server process: holds one contender and does what the bench asks for. */
import { setTimeout as sleep } from 'node:timers/promises'
import { messages } from '../messages.js'
import { answer } from '../rpc.js'
import { Acks } from './acks.js'
import { run } from './run.js'

/** @import { Contender, ContenderModule, RunPlan } from '../types.js' */

const acks = new Acks()
/** @type {Contender} */
let contender

answer({
	async start() {
		const name = process.argv[2]
		const module = /** @type {ContenderModule} */ (await import(`../contenders/${name}.js`))
		contender = await module.start()
		return { port: contender.port, ackPort: await acks.listen() }
	},

	/** @param {number} count */
	async settle(count) {
		while (contender.count() < count) await sleep(5)
	},

	/** @param {RunPlan} plan */
	probe(plan) {
		const data = messages(plan)()
		if (plan.to === 'all') contender.broadcast(data)
		else contender.one(data)
		return data
	},

	/** @param {RunPlan} plan */
	run: (plan) => run(contender, acks, plan),

	cpu: () => process.cpuUsage(),

	count: () => contender.count(),

	async memory() {
		// What ended a moment ago is let go in steps: timers, then weak references.
		for (let i = 0; i < 4; i++) {
			globalThis.gc?.()
			await sleep(100)
		}
		const { heapUsed, external, rss } = process.memoryUsage()
		return { heap: heapUsed, external, rss }
	},
})

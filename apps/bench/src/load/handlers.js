/** What the bench asks of a process that holds clients. */

/** @import { RunPlan } from '../types.js' */
/** @import { Clients } from './clients.js' */

/** @param {() => Clients} clients Once they have somewhere to go. */
export function handlers(clients) {
	return {
		/** @param {{ count: number, slow: boolean }} args */
		connect: (args) => clients().connect(args),

		/** @param {unknown} expected */
		verify: (expected) => clients().verify(expected),

		/** @param {RunPlan} plan */
		expect: (plan) => clients().expect(plan),

		report: () => clients().report(),
	}
}

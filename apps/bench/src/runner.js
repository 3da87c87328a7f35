/** Runs one case: every contender in turn, then all of them again. */
import { contenders } from './contenders/index.js'
import { Lab } from './lab.js'
import { installedVersion, machine } from './results.js'

/** @import { CaseResult, ContenderResult } from './results.js' */
/** @import { Case, Figures } from './types.js' */

/**
 * One repetition of one contender.
 *
 * @param {Case} one
 * @param {string} contender
 * @param {boolean} quick
 * @returns {Promise<Figures>}
 */
async function measure(one, contender, quick) {
	/** @type {Lab[]} */
	const labs = []
	try {
		return await one.measure(
			async () => {
				const lab = await Lab.open(contender, one.transport)
				labs.push(lab)
				return lab
			},
			quick ? one.sizes.quick : one.sizes.full,
			contender,
		)
	} finally {
		await Promise.all(labs.map((lab) => lab.close()))
	}
}

/**
 * @param {Case} one
 * @param {{
 *   only: readonly string[], reps: number, quick: boolean,
 *   progress: (text: string) => void, failed: (text: string) => void
 * }} options
 * @returns {Promise<CaseResult>}
 */
export async function runCase(one, { only, reps, quick, progress, failed }) {
	/** @type {CaseResult} */
	const result = {
		case: one.name,
		date: new Date().toISOString(),
		quick,
		reps,
		sizes: quick ? one.sizes.quick : one.sizes.full,
		machine: machine(),
		contenders: {},
	}
	const names = only.filter((name) => one.contenders.includes(name))
	for (const name of names) {
		const pkg = contenders[name] ?? null
		result.contenders[name] = {
			version: pkg === null ? null : installedVersion(pkg),
			runs: [],
			failures: [],
		}
	}
	for (let rep = 0; rep < reps; rep++) {
		for (const name of names) {
			if (rep >= (one.repetitions?.(name, reps) ?? reps)) continue
			progress(`${one.name} ${rep + 1}/${reps} ${name}`)
			const entry = /** @type {ContenderResult} */ (result.contenders[name])
			try {
				entry.runs.push(await measure(one, name, quick))
			} catch (error) {
				const message = error instanceof Error ? error.message : String(error)
				failed(`${name} failed: ${message}`)
				// The rest is a stack or the end of a log, with the paths of this machine in it.
				entry.failures.push(message.split('\n', 1)[0] ?? '')
			}
		}
	}
	return result
}

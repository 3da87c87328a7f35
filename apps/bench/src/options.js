/** The command line. */
import { parseArgs } from 'node:util'
import { cases } from './cases/index.js'
import { contenders as inLab } from './contenders/index.js'

/** Every contender of every case, those of the lab in its order. */
const contenders = [...new Set([...Object.keys(inLab), ...cases.flatMap((one) => one.contenders)])]

export const USAGE = `Usage: pnpm bench [case …] [options]

Cases: ${cases.map(({ name }) => name).join(', ')} (all if none is named)

  --only <a,b>   these contenders only: ${contenders.join(', ')}
  --reps <n>     repetitions of each contender, interleaved (3; 1 with --quick)
  --quick        small sizes, to see that everything works; the figures mean nothing
  --help
`

/** A wrong command line; its message is for the user. */
export class UsageError extends Error {}

/**
 * @param {string[]} argv
 * @returns {{ cases: typeof cases, only: string[], reps: number, quick: boolean, help: boolean }}
 */
export function options(argv) {
	const { values, positionals } = parse(argv)
	for (const name of positionals) {
		if (!cases.some((one) => one.name === name)) throw new UsageError(`There is no case "${name}".`)
	}
	const only = values.only?.split(',').map((name) => name.trim()) ?? contenders
	for (const name of only) {
		if (!contenders.includes(name)) throw new UsageError(`There is no contender "${name}".`)
	}
	const quick = values.quick === true
	const reps = Number(values.reps ?? (quick ? 1 : 3))
	if (!Number.isInteger(reps) || reps < 1) throw new UsageError('--reps must be a positive integer.')
	return {
		cases: positionals.length === 0 ? cases : cases.filter(({ name }) => positionals.includes(name)),
		only,
		reps,
		quick,
		help: values.help === true,
	}
}

/** @param {string[]} argv */
function parse(argv) {
	try {
		return parseArgs({
			// pnpm hands over the `--` that separates its own options.
			args: argv.filter((arg) => arg !== '--'),
			allowPositionals: true,
			options: {
				only: { type: 'string' },
				reps: { type: 'string' },
				quick: { type: 'boolean' },
				help: { type: 'boolean', short: 'h' },
			},
		})
	} catch (error) {
		throw new UsageError(error instanceof Error ? error.message : String(error))
	}
}

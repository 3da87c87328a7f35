/**
 * Writes `docs/benchmarks.md` from the results. `--check` only says whether it is what they make, `--quick` prints the
 * page of a quick run instead.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { cases } from './cases/index.js'
import { markdown, rows, targetRows } from './report.js'
import { load } from './results.js'

/** @import { CaseResult } from './results.js' */
/** @import { Case } from './types.js' */

const quick = process.argv.includes('--quick')
const file = fileURLToPath(new URL('../../../docs/benchmarks.md', import.meta.url))

/**
 * @param {Case} one
 * @param {CaseResult} result
 */
function conditions({ setting }, { date, machine, sizes, contenders }) {
	const counts = Object.values(contenders).map(({ runs, failures }) => runs.length + failures.length)
	const reps = [...new Set([Math.min(...counts), Math.max(...counts)])].join(' to ')
	const { node, os, cpu, cores, memoryGb, pinned } = machine
	return (
		`${date.slice(0, 10)}, Node ${node}, ${os}, ${cpu}, ${cores} cores, ${memoryGb} GB, ` +
		`${setting ?? (pinned ? 'server and load client on a core each' : 'processes not pinned')}, median of ${reps}.${quick ? ` Quick sizes: ${JSON.stringify(sizes)}.` : ''}`
	)
}

const measured = cases.flatMap((one) => {
	const result = load(one, quick)
	return result === undefined ? [] : [{ one, result }]
})

if (measured.length === 0) {
	console.error('There are no results yet: run `pnpm bench` first.')
	process.exit(1)
}

const sections = measured.map(({ one, result }) => {
	const failures = Object.entries(result.contenders)
		.filter(([, { failures }]) => failures.length > 0)
		.map(([name, { failures }]) => `Not timed: ${name} (${failures[0]}).`)
	return [`## ${one.title}`, conditions(one, result), markdown(rows(one, result)), ...failures].join('\n\n')
})

const targets = measured.flatMap(({ result }) => targetRows(result))

const page = [
	'# Benchmarks',
	'Written by `pnpm --filter @evstream/bench table` from the files in `apps/bench/results`; do not edit it.',
	'What is measured, and how it is kept honest, is described in [apps/bench](../apps/bench/README.md). Absolute ' +
		'figures differ from machine to machine; compare the ratios.',
	...(targets.length === 0
		? []
		: ['## Targets', markdown([['target for evstream', 'limit', 'measured', 'status'], ...targets])]),
	...sections,
].join('\n\n')

if (quick) console.log(page)
else if (!process.argv.includes('--check')) writeFileSync(file, `${page}\n`)
else if (readFileSync(file, 'utf8') !== `${page}\n`) {
	console.error('docs/benchmarks.md is not what the results make: run `pnpm --filter @evstream/bench table`.')
	process.exitCode = 1
}

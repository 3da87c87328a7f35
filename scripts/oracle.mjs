// Runs the random test of the core for many seeds: `pnpm oracle --seeds 10000`.
//   --from N       the first seed, default 1
//   --seed N       this one seed only
//   --only a,b     only these transports: http, wrapped, compressed, https, h2c, h2, web
//   --without a,b  leaves checks out, to sort many faults: see packages/core/test/oracle/faults.ts
//   --keep-going   goes on after a seed that fails, and counts
//   --processes N  how many seeds run at once, default 2
//   --patience N   ms in which nothing may happen while something is owed, default 3000
//   --times N      runs each seed so often
// A seed that fails is printed with all its steps. Exit code 1 if there is one.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
	options: {
		seeds: { type: 'string', default: '1000' },
		from: { type: 'string', default: '1' },
		seed: { type: 'string' },
		only: { type: 'string' },
		without: { type: 'string' },
		'keep-going': { type: 'boolean', default: false },
		processes: { type: 'string', default: '2' },
		patience: { type: 'string', default: '3000' },
		times: { type: 'string', default: '1' },
	},
})

const one = values.seed !== undefined
const from = Number(values.seed ?? values.from)
const seeds = one ? 1 : Number(values.seeds)
const processes = one ? 1 : Number(values.processes)
const start = performance.now()
const slowest = { seed: 0, ms: 0 }
let done = 0
let spent = 0
let failed = 0
let stopped = false

/** Runs every `processes`-th seed from the given one on; a process that found a fault is not used again. */
async function run(first) {
	for (let next = first; next < from + seeds && !stopped; ) {
		const last = await runProcess(next)
		if (last === undefined) return
		next = last + processes
	}
}

/** Resolves with the seed that failed, or `undefined` if none did. */
function runProcess(first) {
	const count = Math.ceil((from + seeds - first) / processes)
	const args = ['--seeds', String(count), '--step', String(processes), '--from', String(first)]
	if (values['keep-going']) args.push('--keep-going')
	for (const name of ['only', 'without', 'patience', 'times'])
		if (values[name] !== undefined) args.push(`--${name}`, values[name])
	const main = fileURLToPath(new URL('../packages/core/test/oracle/main.ts', import.meta.url))
	const child = spawn(
		process.execPath,
		['--import', 'tsx', '--conditions=@evstream/source', '--expose-gc', main, ...args],
		{ stdio: ['ignore', 'pipe', 'inherit'] },
	)
	let current = first
	let bad
	return new Promise((resolve) => {
		createInterface({ input: child.stdout }).on('line', (line) => {
			const { seed, ms, transport, faults, steps } = JSON.parse(line)
			current = seed
			if (ms > 0) done++
			spent += ms
			if (ms > slowest.ms) Object.assign(slowest, { seed, ms })
			if (faults.length > 0) {
				bad = seed
				failed++
				if (!values['keep-going']) stopped = true
				const [{ check, text }] = faults
				console.log(`FAILED seed ${seed} (${transport}) ${check}: ${text.split('\n', 3).join(' | ')}`)
				if (!values['keep-going'] || one) console.log(steps.join('\n'))
			} else if (stopped) child.kill()
			if (done % 500 === 0 && ms > 0) progress()
		})
		child.on('close', (code, signal) => {
			if (code === 0 || signal !== null) resolve(undefined)
			else {
				if (bad !== current) {
					// Not even the process survived the next seed.
					failed++
					console.log(`FAILED after seed ${current}: the process ended with ${code}`)
				}
				resolve(current)
			}
		})
	})
}

function progress() {
	const seconds = (performance.now() - start) / 1_000
	console.log(
		`${done} of ${seeds} seeds, ${failed} failed, ${seconds.toFixed(0)} s, ${(spent / Math.max(done, 1)).toFixed(0)} ms each, ` +
			`slowest ${slowest.ms.toFixed(0)} ms (seed ${slowest.seed})`,
	)
}

await Promise.all(Array.from({ length: processes }, (_, index) => run(from + index)))
progress()
process.exit(failed > 0 ? 1 : 0)

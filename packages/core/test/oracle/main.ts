import { parseArgs } from 'node:util'
import { CHECKS, type Fault } from './faults.js'
import { runSeed } from './run.js'
import { Servers } from './servers.js'
import { Stray } from './stray.js'
import { TRANSPORTS } from './world.js'

const { values } = parseArgs({
	options: {
		from: { type: 'string', default: '1' },
		seeds: { type: 'string', default: '1' },
		step: { type: 'string', default: '1' },
		only: { type: 'string' },
		without: { type: 'string' },
		patience: { type: 'string', default: '3000' },
		times: { type: 'string', default: '1' },
		'keep-going': { type: 'boolean', default: false },
	},
})

const servers = new Servers()
const stray = new Stray()
const first = Number(values.from)
const step = Number(values.step)
const options = {
	servers,
	stray,
	only:
		values.only === undefined
			? undefined
			: TRANSPORTS.filter((name) => values.only?.split(',').includes(name)),
	without: CHECKS.filter((check) => values.without?.split(',').includes(check)),
	patience: Number(values.patience),
}

/** Seeds of which nothing may be left, before it is looked at. */
const BATCH = 50

function say(message: Record<string, unknown>): void {
	process.stdout.write(`${JSON.stringify(message)}\n`)
}

/** After an uncaught error the process may be deaf: what comes later would be blamed for it. */
function isTainted(faults: readonly Fault[]): boolean {
	return !values['keep-going'] || faults.some(({ check }) => check === 'errors')
}

async function main(): Promise<number> {
	for (let done = 0; done < Number(values.seeds); done++) {
		const seed = first + done * step
		for (let time = 0; time < Number(values.times); time++) {
			const start = performance.now()
			const { transport, faults, steps } = await runSeed(seed, options)
			say({ seed, ms: performance.now() - start, transport, faults, steps: faults.length > 0 ? steps : [] })
			if (faults.length > 0 && isTainted(faults)) return 1
		}
		if (done % BATCH === BATCH - 1 || done === Number(values.seeds) - 1) {
			const held = options.without.includes('left') ? [] : await stray.held()
			if (held.length === 0) continue
			const faults = held.map((what): Fault => ({ check: 'left', text: `${what} is still held` }))
			say({ seed, ms: 0, transport: '-', faults, steps: [] })
			if (isTainted(faults)) return 1
		}
	}
	return 0
}

process.exit(await main())

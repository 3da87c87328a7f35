/**
 * The full fault run: `pnpm --filter @evstream/redis faults [--seed n] [--history n] [--seconds n] …`; with
 * `--minutes n` a long one, with everything that can happen to Redis while it keeps its data. Each fault has an option
 * that says how often it happens (`--kills 3`); `--rollbacks n` lets Redis lose data. Prints its seed, what happened
 * and what was found; ends with 1 if a message was lost, doubled, out of order, or arrived though it was refused.
 */
import { parseArgs } from 'node:util'
import { redisLacks } from '@evstream/testkit'
import { runFleet } from './support/fleet.js'
import { FAULTS, type FaultCounts } from './support/fleet-faults.js'

const FULL = {
	clients: 200,
	eventSources: 10,
	channels: 5,
	instances: 3,
	publishers: 2,
	rate: 2500,
	// Each of them is a write to every client: at 10 ms the test itself needs more than a small machine has.
	tick: 50,
	seconds: 20,
	history: 20_000,
	seed: Math.floor(Math.random() * 2 ** 31),
}

/** The headline run. */
const HEADLINE: FaultCounts = { kills: 3, cuts: 5, subscriberKills: 2 }

/** What happens in each minute of a long run. Redis loses no data. */
const MINUTE: FaultCounts = {
	kills: 3,
	cuts: 3,
	subscriberKills: 2,
	flushes: 2,
	stalls: 2,
	delays: 2,
	freezes: 2,
	restarts: 2,
	outages: 1,
	slowLinks: 1,
	pauses: 1,
	fulls: 1,
	forbids: 1,
	days: 2,
}

/** A long run is one of many faults, not of many messages. */
function long(minutes: number): Partial<typeof FULL> {
	return { seconds: minutes * 60, clients: 60, rate: 500, history: Math.ceil(minutes * 60 * 500) }
}

const { values } = parseArgs({
	args: process.argv.slice(2).filter((arg) => arg !== '--'),
	options: Object.fromEntries(
		[...Object.keys(FULL), ...Object.keys(FAULTS), 'minutes'].map((name) => [
			name,
			{ type: 'string' } as const,
		]),
	),
})
const numbers = (names: readonly string[]): Record<string, number> =>
	Object.fromEntries(
		names.flatMap((name) => (values[name] === undefined ? [] : [[name, Number(values[name])]])),
	)
const { minutes } = numbers(['minutes'])
const usual = Object.entries(minutes === undefined ? HEADLINE : MINUTE).map(
	([name, times = 0]) => [name, Math.ceil(times * (minutes ?? 1))] as const,
)
const faults: FaultCounts = { ...Object.fromEntries(usual), ...numbers(Object.keys(FAULTS)) }
const options = {
	...FULL,
	...(minutes === undefined ? {} : long(minutes)),
	...numbers(Object.keys(FULL)),
	faults,
	neighbour: minutes !== undefined,
}

if (!redisLacks('control', 'the fault run')) {
	console.log(`seed ${options.seed}`, options)
	const begin = performance.now()
	const log = (text: string): void =>
		console.log(`${((performance.now() - begin) / 1000).toFixed(1).padStart(6)} s  ${text}`)
	const report = await runFleet({ ...options, log })
	console.log(report)
	const { lost, doubled, disordered, different, undead, gone, resets, messages } = report
	// A history that keeps everything, in a Redis that keeps its data, leaves no reason for a reset.
	const keepsAll = options.history * options.channels >= messages && (faults.rollbacks ?? 0) === 0
	const wrong = keepsAll ? resets + gone : 0
	const failed = lost + doubled + disordered + different + undead + wrong > 0
	console.log(failed ? `FAILED with seed ${options.seed}` : 'ok')
	process.exitCode = failed ? 1 : 0
}

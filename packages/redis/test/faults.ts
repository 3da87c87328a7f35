/**
 * The full fault run: `pnpm --filter @evstream/redis faults [--seed n] [--history n] [--seconds n] …`; with
 * `--minutes n` a long one, with everything that can happen to Redis. Prints its seed, what happened and what was
 * found; ends with 1 if a message was lost, doubled or out of order.
 */
import { parseArgs } from 'node:util'
import { redisLacks } from '@evstream/testkit'
import { runFleet } from './support/fleet.js'

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
	kills: 3,
	cuts: 5,
	subscriberKills: 2,
	flushes: 0,
	stalls: 0,
	delays: 0,
	freezes: 0,
	restarts: 0,
	history: 20_000,
	seed: Math.floor(Math.random() * 2 ** 31),
}

/** What happens in each minute of a long run. */
const MINUTE = {
	kills: 4,
	cuts: 5,
	subscriberKills: 3,
	flushes: 3,
	stalls: 3,
	delays: 3,
	freezes: 2,
	restarts: 2,
}

/** A long run is one of many faults, not of many messages. */
function long(minutes: number): Partial<typeof FULL> {
	const faults = Object.entries(MINUTE).map(([name, times]) => [name, Math.ceil(times * minutes)] as const)
	return {
		...Object.fromEntries(faults),
		seconds: minutes * 60,
		clients: 60,
		rate: 500,
		history: Math.ceil(minutes * 60 * 500),
	}
}

const { values } = parseArgs({
	args: process.argv.slice(2).filter((arg) => arg !== '--'),
	options: Object.fromEntries(
		[...Object.keys(FULL), 'minutes'].map((name) => [name, { type: 'string' } as const]),
	),
})
const given = Object.entries(values).map(([name, value]) => [name, Number(value)] as const)
const { minutes, ...named } = Object.fromEntries(given)
const options = { ...FULL, ...(minutes === undefined ? {} : long(minutes)), ...named }

if (!redisLacks('control', 'the fault run')) {
	console.log(`seed ${options.seed}`, options)
	const begin = performance.now()
	const log = (text: string): void =>
		console.log(`${((performance.now() - begin) / 1000).toFixed(1).padStart(6)} s  ${text}`)
	const report = await runFleet({ ...options, log })
	console.log(report)
	const { lost, doubled, disordered, different, resets, messages } = report
	// A history that keeps everything leaves no reason for a reset.
	const wrongResets = options.history * options.channels >= messages ? resets : 0
	const failed = lost + doubled + disordered + different + wrongResets > 0
	console.log(failed ? `FAILED with seed ${options.seed}` : 'ok')
	process.exitCode = failed ? 1 : 0
}

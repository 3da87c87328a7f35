import { afterAll, describe, expect, it } from 'vitest'
import { type Outcome, runSeed } from './oracle/run.js'
import { Servers } from './oracle/servers.js'
import { Stray } from './oracle/stray.js'
import { TRANSPORTS } from './oracle/world.js'

/** Seeds of each transport: the same in every run. */
const SEEDS = Array.from({ length: 30 }, (_, index) => index + 1)
/** What the machine may take for all seeds of a transport, in ms. */
const TIMEOUT = 60_000

const servers = new Servers()
const stray = new Stray()
afterAll(async () => {
	stray.close()
	await servers.close()
})

/** A seed that fails says what it did. `pnpm oracle --seed N --only T` runs it again. */
function failureOf({ seed, transport, faults, steps }: Outcome): string | undefined {
	if (faults.length === 0) return undefined
	return `seed ${seed} of ${transport}\n${steps.join('\n')}`
}

describe('in random worlds', () => {
	it.each(TRANSPORTS)(
		'every promise holds on %s',
		async (transport) => {
			const chance = Math.floor(Math.random() * 2 ** 31)
			console.log(`oracle: the random seed of ${transport} is ${chance}`)
			for (const seed of [...SEEDS, chance]) {
				const outcome = await runSeed(seed, { servers, stray, only: [transport] })
				expect(failureOf(outcome)).toBeUndefined()
			}
			expect(await stray.held()).toEqual([])
		},
		TIMEOUT,
	)
})

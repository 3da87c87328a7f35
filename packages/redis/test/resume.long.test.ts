import { redisLacks } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { type FleetOptions, type FleetReport, runFleet } from './support/fleet.js'

const noFleet = redisLacks('control', 'resume over instances')

/** The full run is `pnpm --filter @evstream/redis faults`. */
const SHORT: FleetOptions = {
	seed: 1,
	clients: 40,
	eventSources: 4,
	channels: 5,
	instances: 3,
	publishers: 2,
	rate: 300,
	tick: 10,
	seconds: 6,
	faults: { kills: 1, cuts: 2, subscriberKills: 1 },
	history: 10_000,
}

const FINE = { lost: 0, doubled: 0, disordered: 0, different: 0, undead: 0, gone: 0, examples: [], epochs: 1 }

/** That the run was one: there were messages, and clients had to come back. */
function expectWork({ accepted, messages, gone, reconnects }: FleetReport): void {
	expect(accepted).toBeGreaterThan(SHORT.rate)
	expect(messages + gone).toBeGreaterThanOrEqual(accepted)
	expect(reconnects).toBeGreaterThan(0)
}

describe.skipIf(noFleet)('Clients behind a balancer over three instances', () => {
	it('lose nothing, get nothing twice, all in order, through kill -9, cuts and killed subscribers', async () => {
		const report = await runFleet(SHORT)
		expect(report).toMatchObject({ ...FINE, missed: 0, resets: 0 })
		expectWork(report)
	}, 120_000)

	it('lose nothing whatever happens to Redis, as long as it keeps its data', async () => {
		const faults = {
			kills: 1,
			cuts: 1,
			subscriberKills: 1,
			flushes: 1,
			stalls: 1,
			delays: 1,
			freezes: 1,
			restarts: 2,
		}
		const report = await runFleet({ ...SHORT, faults, seconds: 9, seed: 3 })
		expect(report).toMatchObject({ ...FINE, epochs: expect.any(Number), missed: 0, resets: 0 })
		expectWork(report)
	}, 120_000)

	it('lose nothing through days, a full Redis, lost rights, slow links, and processes that stand still', async () => {
		const faults = { kills: 1, days: 3, fulls: 1, forbids: 1, slowLinks: 1, outages: 1, pauses: 1 }
		const report = await runFleet({ ...SHORT, faults, neighbour: true, seconds: 12, seed: 4 })
		expect(report).toMatchObject({ ...FINE, missed: 0, resets: 0 })
		expectWork(report)
	}, 120_000)

	it('are told of everything they miss when the running server gets an older copy', async () => {
		const faults = { kills: 1, rollbacks: 2, cuts: 2 }
		const report = await runFleet({ ...SHORT, faults, seconds: 9, seed: 5 })
		expect(report).toMatchObject({ ...FINE, gone: expect.any(Number), epochs: 3 })
		expectWork(report)
		expect(report.gone).toBeGreaterThan(0)
	}, 120_000)

	it('are told by a reset of everything they miss when the history is too small', async () => {
		const report = await runFleet({ ...SHORT, history: 2, seed: 2 })
		expect(report).toMatchObject(FINE)
		expectWork(report)
		expect(report.missed).toBeGreaterThan(0)
		expect(report.resets).toBeGreaterThan(0)
	}, 120_000)
})

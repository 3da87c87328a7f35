import { describe, expect, it } from 'vitest'
import type { Flags } from './replay-model/promises.js'
import { runWorld } from './replay-model/world.js'

/** How many seeds of each kind of world, and the first one: `REPLAY_SEEDS=1000 REPLAY_FROM=1` for a long run. */
const SEEDS = Number(process.env.REPLAY_SEEDS ?? 30)
const FROM = Number(process.env.REPLAY_FROM ?? 1)
/** What a world may take, in ms; most take 20. */
const TIMEOUT = 1_000

const PLAIN: Flags = { restart: false, gap: false, scarce: false, last: false, small: false, unlisten: true }
/** A newcomer that left a channel gets its newest messages again if it asks for them again. */
const LAST = { last: true, unlisten: false }

/** The seeds found faults in the past. */
const WORLDS: readonly (readonly [string, Flags, readonly number[]])[] = [
	['keeps everything', PLAIN, [41]],
	['restarts', { ...PLAIN, restart: true }, [104, 140]],
	['loses messages on their way', { ...PLAIN, gap: true }, [36, 73, 232]],
	['keeps little', { ...PLAIN, scarce: true }, []],
	['writes to small buffers', { ...PLAIN, small: true }, []],
	['is asked for the newest messages', { ...PLAIN, ...LAST }, []],
	['restarts and loses messages', { ...PLAIN, restart: true, gap: true }, []],
	['restarts and is asked for the newest messages', { ...PLAIN, ...LAST, restart: true }, []],
	['keeps little and loses messages', { ...PLAIN, ...LAST, scarce: true, gap: true }, []],
	['does all of this', { ...LAST, restart: true, gap: true, scarce: true, small: true }, []],
]

describe('a log that answers late', () => {
	it.each(WORLDS)(
		'gives each client everything once and in order, or a reset, when it %s',
		async (_what, flags, found) => {
			const chance = Math.floor(Math.random() * 2 ** 31)
			const range = Array.from({ length: SEEDS }, (_, index) => FROM + index)
			for (const seed of [...range, ...found, chance]) {
				const broken = await runWorld(seed, flags)
				expect(broken && `seed ${seed}\n${broken}`).toBeUndefined()
			}
		},
		60_000 + SEEDS * TIMEOUT,
	)
})

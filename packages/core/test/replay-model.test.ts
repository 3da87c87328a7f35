import { describe, expect, it } from 'vitest'
import type { Flags } from './replay-model/promises.js'
import { runWorld } from './replay-model/world.js'

const SEEDS = Number(process.env.REPLAY_SEEDS ?? 40)
const FROM = Number(process.env.REPLAY_FROM ?? 1)

const PLAIN: Flags = { restart: false, gap: false, scarce: false, last: false, small: false, unlisten: true }

const WORLDS: readonly (readonly [string, Flags])[] = [
	['keeps everything', PLAIN],
	['restarts', { ...PLAIN, restart: true }],
	['is not followed without gaps', { ...PLAIN, gap: true }],
	['keeps little', { ...PLAIN, scarce: true }],
	['has small buffers before it', { ...PLAIN, small: true }],
	['is asked for the newest messages', { ...PLAIN, last: true, unlisten: false }],
	['restarts and has gaps', { ...PLAIN, restart: true, gap: true }],
	['restarts and is asked for the newest', { ...PLAIN, restart: true, last: true, unlisten: false }],
	['keeps little and has gaps', { ...PLAIN, scarce: true, gap: true, last: true, unlisten: false }],
	['does all of this', { restart: true, gap: true, scarce: true, last: true, small: true, unlisten: false }],
]

describe('clients get everything once and in order, or one reset, of a log that answers late and', () => {
	it.each(WORLDS)('%s', async (_what, flags) => {
		const chance = Math.floor(Math.random() * 2 ** 31)
		for (const seed of [...Array.from({ length: SEEDS }, (_, index) => FROM + index), chance]) {
			const broken = await runWorld(seed, flags)
			expect(broken && `seed ${seed}\n${broken}`).toBeUndefined()
		}
	})
})

/** The files in `results/`: one per case, with every repetition and the facts about the machine. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pinned } from './pin.js'
import { redisVersion } from './redis.js'

/** @import { Case, Figures, Sizes } from './types.js' */

/**
 * @typedef {object} ContenderResult
 * @property {string | null} version Of the package; `null` for the baselines.
 * @property {Figures[]} runs Every repetition that delivered everything.
 * @property {string[]} failures Why the others do not count, in a line each.
 */

/**
 * @typedef {object} CaseResult
 * @property {string} case
 * @property {string} date
 * @property {boolean} quick
 * @property {number} reps
 * @property {Sizes} sizes
 * @property {ReturnType<typeof machine>} machine
 * @property {Record<string, ContenderResult>} contenders
 */

/** Before any case ran: work that was there already makes the figures worthless. */
const loadAverage = Number(os.loadavg()[0]?.toFixed(2))

const root = fileURLToPath(new URL('../results/', import.meta.url))

/** @param {boolean} quick */
const folder = (quick) => (quick ? join(root, 'quick') : root)

export function machine() {
	const cpus = os.cpus()
	return {
		node: process.version,
		redis: redisVersion(),
		os: `${os.type()} ${os.release().split('-', 1)[0]} ${os.arch()}`,
		cpu: cpus[0]?.model.trim() ?? 'unknown',
		cores: cpus.length,
		memoryGb: Math.round(os.totalmem() / 2 ** 30),
		pinned,
		loadAverage,
	}
}

/**
 * The installed version of a package, read from its package.json: not every package exports that.
 *
 * @param {string} name
 * @returns {string | null}
 */
export function installedVersion(name) {
	for (const base of createRequire(import.meta.url).resolve.paths(name) ?? []) {
		const file = join(base, name, 'package.json')
		if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')).version
	}
	return null
}

/** @param {CaseResult} result */
export function save(result) {
	const file = join(folder(result.quick), `${result.case}.json`)
	mkdirSync(dirname(file), { recursive: true })
	writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`)
}

/**
 * @param {Case} one
 * @param {boolean} quick
 * @returns {CaseResult | undefined}
 */
export function load(one, quick) {
	const file = join(folder(quick), `${one.name}.json`)
	return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
}

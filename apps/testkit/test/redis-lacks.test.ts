import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it, onTestFinished, vi } from 'vitest'
import { type RedisNeed, redisLacks } from '../src/index.js'

afterEach(() => {
	vi.unstubAllEnvs()
	vi.restoreAllMocks()
})

/** A folder to be a PATH, with a program in it if there is a name. */
function pathWith(program?: string): string {
	const folder = mkdtempSync(join(tmpdir(), 'evstream-path-'))
	onTestFinished(() => rmSync(folder, { recursive: true }))
	if (program !== undefined) writeFileSync(join(folder, program), '')
	return folder
}

it.each([
	{ what: 'the embedded server', url: '', program: undefined, lacks: ['commands', 'control'] },
	{ what: 'a shared server', url: 'redis://localhost', program: 'redis-server', lacks: ['control'] },
	{ what: 'redis-server on the PATH', url: '', program: 'redis-server', lacks: [] },
	{ what: 'valkey-server on the PATH', url: '', program: 'valkey-server', lacks: [] },
])('on $what a suite is skipped that needs more, and says why', ({ url, program, lacks }) => {
	vi.stubEnv('REDIS_URL', url)
	vi.stubEnv('PATH', pathWith(program))
	const log = vi.spyOn(console, 'log').mockImplementation(() => {})
	const needs: readonly RedisNeed[] = ['commands', 'control']
	expect(needs.filter((need) => redisLacks(need, `suite of ${need}`))).toEqual(lacks)
	const printed = log.mock.calls.map(([line]) => String(line))
	expect(printed.map((line) => /^skipped: suite of (\w+): needs a /.exec(line)?.[1])).toEqual(lacks)
})

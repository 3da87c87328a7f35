import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

/** The names an index exports. An index only re-exports, by name. */
async function exportsOf(file: string): Promise<string[]> {
	const url = new URL(file, import.meta.url)
	const source = ts.createSourceFile(file, await readFile(url, 'utf8'), ts.ScriptTarget.Latest)
	return source.statements.flatMap((statement) => {
		if (!ts.isExportDeclaration(statement)) throw new Error(`${file} has more than exports`)
		const { exportClause } = statement
		if (!exportClause || !ts.isNamedExports(exportClause)) throw new Error(`${file} does not export by name`)
		return exportClause.elements.map(({ name }) => name.text)
	})
}

const main = await exportsOf('../src/index.ts')

describe('the entry evstream', () => {
	it.each(['core', 'state'])('has every name of @evstream/%s', async (name) => {
		expect(main).toEqual(expect.arrayContaining(await exportsOf(`../../${name}/src/index.ts`)))
	})

	it('does not load ioredis', async () => {
		const script = `
			import { createRequire } from 'node:module'
			await import('evstream')
			await import('evstream/state-manager')
			const { cache } = createRequire(import.meta.url)
			const loaded = () => Object.keys(cache).some((file) => file.includes('/ioredis/'))
			const before = loaded()
			await import('evstream/adapter/redis')
			console.log(before, loaded())
		`
		const { stdout } = await promisify(execFile)(
			process.execPath,
			['--conditions=@evstream/source', '--import', 'tsx', '--input-type=module', '--eval', script],
			{ cwd: fileURLToPath(new URL('..', import.meta.url)) },
		)
		expect(stdout.trim()).toBe('false true')
	})
})

describe('the entries with Redis', () => {
	it('adapter/redis has every name of @evstream/redis', async () => {
		expect(await exportsOf('../src/adapter/redis.ts')).toEqual(
			expect.arrayContaining(await exportsOf('../../redis/src/index.ts')),
		)
	})

	it('adapter/pub-sub has every name of @evstream/pubsub but the errors that core has', async () => {
		const names = await exportsOf('../../pubsub/src/index.ts')
		expect(await exportsOf('../src/adapter/pub-sub.ts')).toEqual(
			expect.arrayContaining(names.filter((name) => !main.includes(name) || name.startsWith('EvRedis'))),
		)
	})
})

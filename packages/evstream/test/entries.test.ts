import { readFile } from 'node:fs/promises'
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

	it('has the classes on Redis too', () => {
		expect(main).toEqual(expect.arrayContaining(['EvRedisAdapter', 'EvRedisPubSub', 'RedisBus']))
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
			expect.arrayContaining(names.filter((name) => !['EvClosedError', 'EvUnavailableError'].includes(name))),
		)
	})
})

import { defineConfig, type Options } from 'tsup'

/** The build every package shares: ESM and CommonJS, with types for both. */
export function build(entry: Record<string, string> = { index: 'src/index.ts' }): Options {
	return {
		entry,
		format: ['esm', 'cjs'],
		target: 'node20',
		platform: 'node',
		dts: true,
		sourcemap: true,
		clean: true,
		treeshake: true,
		splitting: true,
		removeNodeProtocol: false,
	}
}

export { defineConfig }

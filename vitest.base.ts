import { defineConfig, type ViteUserConfig } from 'vitest/config'

const conditions = ['@evstream/source']

/** What every package's tests share: they run on the sources, so no build comes before them. */
export function tests(name: string, test: ViteUserConfig['test'] = {}): ViteUserConfig {
	return defineConfig({
		resolve: { conditions },
		ssr: { resolve: { conditions } },
		test: {
			name,
			include: ['test/**/*.test.ts'],
			testTimeout: 20_000,
			hookTimeout: 60_000,
			typecheck: { enabled: false },
			...test,
		},
	})
}

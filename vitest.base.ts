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
			// On a loaded machine a few tests that race two clocks fail once in some hundred runs. A test
			// that fails twice is broken.
			retry: process.env.CI === 'true' ? 1 : 0,
			typecheck: { enabled: false },
			...test,
		},
	})
}

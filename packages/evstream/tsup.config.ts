import { build, defineConfig } from '../../tsup.base.js'

export default defineConfig(
	build({
		index: 'src/index.ts',
		'adapter/redis': 'src/adapter/redis.ts',
		'adapter/pub-sub': 'src/adapter/pub-sub.ts',
		'state-manager': 'src/state-manager.ts',
	}),
)

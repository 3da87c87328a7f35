import { build, defineConfig } from '../../tsup.base.js'

export default defineConfig(build({ index: 'src/index.ts', 'contract/index': 'src/contract/index.ts' }))

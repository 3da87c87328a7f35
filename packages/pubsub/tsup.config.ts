import { build, defineConfig } from '../../tsup.base.js'

export default defineConfig(build())

export { EvState } from './state.js'
export { EvStateManager } from './state-manager.js'
export type {
	EvStateHost,
	EvStateListener,
	EvStateManagerOptions,
	EvStateOptions,
	EvStatePubSub,
	EvStateSettings,
} from './types.js'

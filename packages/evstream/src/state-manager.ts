export {
	EvStateManager,
	type EvStateManagerOptions,
	type EvStatePubSub,
	type EvStateSettings,
} from '@evstream/state'

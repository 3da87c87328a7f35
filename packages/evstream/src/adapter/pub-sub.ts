export {
	EvRedisPubSub,
	type EvRedisPubSubOptions,
	RedisBus,
	type RedisBusErrorCode,
	type RedisBusOptions,
	type RedisBusStats,
	type RedisSource,
} from '@evstream/pubsub'

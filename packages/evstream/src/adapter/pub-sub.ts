export {
	EvRedisPubSub,
	type EvRedisPubSubOptions,
	Outage,
	RedisBus,
	type RedisBusErrorCode,
	type RedisBusOptions,
	type RedisBusStats,
	type RedisCommands,
	type RedisSource,
} from '@evstream/pubsub'

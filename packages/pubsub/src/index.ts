export type { RedisSource } from './connections.js'
export { EvClosedError, EvUnavailableError, type RedisBusErrorCode } from './errors.js'
export { RedisBus, type RedisBusOptions, type RedisBusStats } from './redis-bus.js'
export { EvRedisPubSub, type EvRedisPubSubOptions } from './redis-pub-sub.js'

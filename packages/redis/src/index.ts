export type { RedisSource } from '@evstream/pubsub'
export { EvRedisAdapter, type EvRedisAdapterOptions } from './adapter.js'

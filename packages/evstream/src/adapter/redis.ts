export { EvRedisAdapter, type EvRedisAdapterOptions, type RedisSource } from '@evstream/redis'

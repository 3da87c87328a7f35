export { freePort } from './free-port.js'
export {
	type Http2Handler,
	type HttpHandler,
	listenHttp,
	type TestHttpServer,
	testTls,
} from './http-server.js'
export { AwaitableQueue } from './queue.js'
export { type RedisKind, redisKind, type StartRedisOptions, startRedis, type TestRedis } from './redis.js'
export { findRedisBinary } from './redis-binary.js'
export { type RedisNeed, redisLacks } from './redis-lacks.js'
export { currentRequest, forgotten, inRequest } from './requests.js'
export { type OpenSseOptions, openSse, type SseClient, type SseEvent } from './sse-client.js'
export { startTcpProxy, type TcpProxy, type TcpTarget } from './tcp-proxy.js'
export { type Truthy, type UntilOptions, until } from './until.js'

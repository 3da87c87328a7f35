import { redisKind } from './redis.js'

/**
 * What a suite needs of Redis beyond the embedded server: `commands` are those it does not implement, or not at the
 * needed speed, for which any real server will do; `control` is a server of the suite's own, with options, which it
 * may kill and pause.
 */
export type RedisNeed = 'commands' | 'control'

const WANTED = {
	commands: 'a real Redis: REDIS_URL, or redis-server or valkey-server on the PATH',
	control: 'a Redis of its own: redis-server or valkey-server on the PATH, and no REDIS_URL',
}

/**
 * The one place where a suite asks for a real Redis: `describe.skipIf(redisLacks('control', 'Sentinel'))`. Returns
 * `true` if this run's Redis does not have what `suite` needs, and prints why it is skipped.
 */
export function redisLacks(need: RedisNeed, suite: string): boolean {
	const kind = redisKind()
	const has = need === 'commands' ? kind !== 'embedded' : kind === 'binary'
	if (!has) console.log(`skipped: ${suite}: needs ${WANTED[need]}`)
	return !has
}

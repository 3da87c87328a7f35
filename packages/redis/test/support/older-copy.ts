import type { Redis } from 'ioredis'

/** A key as DUMP returns it, and how long it still lives in ms; 0 for ever. */
type Copy = readonly (readonly [key: string, dump: Buffer, ttl: number])[]

/** Copies all keys of a pattern at one moment, as a backup does. */
export async function copyKeys(redis: Redis, pattern: string): Promise<Copy> {
	const keys = await redis.keys(pattern)
	const transaction = redis.multi()
	for (const key of keys) transaction.dumpBuffer(key).pttl(key)
	const answers = (await transaction.exec()) ?? []
	return keys.flatMap((key, index) => {
		const dump = answers[2 * index]?.[1]
		const ttl = Number(answers[2 * index + 1]?.[1])
		return Buffer.isBuffer(dump) ? [[key, dump, Math.max(0, ttl)] as const] : []
	})
}

/** Makes the keys of a pattern what a copy holds, in one step, in the running server. */
export async function restoreKeys(redis: Redis, pattern: string, copies: Copy): Promise<void> {
	const keys = await redis.keys(pattern)
	const transaction = redis.multi()
	for (const key of keys) transaction.del(key)
	for (const [key, dump, ttl] of copies) transaction.restore(key, ttl, dump, 'REPLACE')
	await transaction.exec()
}

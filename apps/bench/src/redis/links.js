/** Ways from one process to another through Redis: how to send, and how to get what was sent. */
import { checkBuilt } from '../built.js'

/**
 * @typedef {object} Link
 * @property {(text: string) => Promise<unknown>} send Resolves once Redis took it.
 * @property {(take: (bytes: Buffer) => void) => Promise<void>} receive Resolves once nothing is missed any more.
 */

/** @typedef {(url: string) => Promise<Link>} OpenLink */

const CHANNEL = 'bench'
/** Messages kept. */
const HISTORY = 1000

/** @type {OpenLink} */
async function ioredis(url) {
	const { Redis } = await import('ioredis')
	const redis = new Redis(url)
	return {
		send: (text) => redis.publish(CHANNEL, text),
		async receive(take) {
			redis.on('messageBuffer', (_channel, bytes) => take(bytes))
			await redis.subscribe(CHANNEL)
		},
	}
}

/** @type {OpenLink} */
async function evstream(url) {
	checkBuilt('@evstream/redis', import.meta.resolve('@evstream/redis'))
	const [{ EvStreamManager }, { EvRedisAdapter }] = await Promise.all([
		import('@evstream/core'),
		import('@evstream/redis'),
	])
	const manager = new EvStreamManager({
		adapter: new EvRedisAdapter(url, { namespace: 'bench' }),
		history: { size: HISTORY, ttl: 60_000 },
		keepAlive: false,
	})
	return {
		send: (data) => manager.send(CHANNEL, { data }),
		async receive(take) {
			const { stream, response } = manager.createResponse(new Request('http://localhost/'))
			stream.listen(CHANNEL)
			const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader()
			// The first frame is the position from which on nothing is missed.
			await reader.read()
			void pump(reader, take)
		},
	}
}

/**
 * @param {ReadableStreamDefaultReader<Uint8Array>} reader
 * @param {(bytes: Buffer) => void} take
 */
async function pump(reader, take) {
	for (;;) {
		const { done, value } = await reader.read()
		if (done) return
		take(Buffer.from(value.buffer, value.byteOffset, value.byteLength))
	}
}

/** @type {Readonly<Record<string, OpenLink>>} */
export const links = { ioredis, evstream }

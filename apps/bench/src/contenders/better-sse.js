/** better-sse: a `Channel` with a `Session` per client. Keep-alive and `retry` are off, as for everybody. */
import { createChannel, createSession } from 'better-sse'

/** @import { Contender, Listen } from '../types.js' */

/**
 * @param {Listen} listen
 * @returns {Promise<Contender>}
 */
export async function start(listen) {
	const channel = createChannel()
	/** @type {import('better-sse').Session | undefined} */
	let newest
	const server = await listen(async (req, res) => {
		const session = await createSession(req, res, { keepAlive: null, retry: null })
		channel.register(session)
		newest = session
	})
	return {
		...server,
		broadcast: (data) => void channel.broadcast(data),
		one: (data) => void newest?.push(data),
		count: () => channel.sessionCount,
	}
}

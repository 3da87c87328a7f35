/** This project, as it is published: the built package. */
import { checkBuilt } from '../built.js'

/** @import { Contender, Listen } from '../types.js' */

export const CHANNEL = 'bench'
/** No limit that a case could reach. */
const NO_LIMIT = 1_000_000

export async function openManager() {
	checkBuilt('@evstream/core', import.meta.resolve('@evstream/core'))
	const { EvStreamManager } = await import('@evstream/core')
	return new EvStreamManager({ maxConnection: NO_LIMIT, maxListeners: NO_LIMIT, keepAlive: false })
}

/**
 * @param {Listen} listen
 * @returns {Promise<Contender>}
 */
export async function start(listen) {
	const manager = await openManager()
	/** @type {ReturnType<typeof manager.createStream> | undefined} */
	let newest
	const server = await listen((req, res) => {
		const stream = manager.createStream(req, res)
		stream.listen(CHANNEL)
		newest = stream
	})
	return {
		...server,
		broadcast: (data) => void manager.send(CHANNEL, { data }),
		one: (data) => void newest?.message({ data }),
		count: () => manager.stats().connections,
	}
}

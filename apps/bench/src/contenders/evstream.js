/** This project, as it is published: the built package. */
import { checkBuilt } from '../built.js'
import { listen } from '../server/listen.js'

/** @import { Contender } from '../types.js' */

const CHANNEL = 'bench'
/** No limit that a case could reach. */
const NO_LIMIT = 1_000_000

/** @returns {Promise<Contender>} */
export async function start() {
	checkBuilt('@evstream/core', import.meta.resolve('@evstream/core'))
	const { EvStreamManager } = await import('@evstream/core')

	const manager = new EvStreamManager({ maxConnection: NO_LIMIT, maxListeners: NO_LIMIT, keepAlive: false })
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

/** This project's web responses, from the built package. */
import { CHANNEL, openManager } from './evstream.js'

/** @import { WebContender } from '../types.js' */

/** @returns {Promise<WebContender>} */
export async function start() {
	const manager = await openManager()
	/** @type {ReturnType<typeof manager.createResponse>['stream'] | undefined} */
	let newest
	return {
		fetch(request) {
			const { stream, response } = manager.createResponse(request)
			stream.listen(CHANNEL)
			newest = stream
			return response
		},
		broadcast: (data) => void manager.send(CHANNEL, { data }),
		one: (data) => void newest?.message({ data }),
		count: () => manager.stats().connections,
	}
}

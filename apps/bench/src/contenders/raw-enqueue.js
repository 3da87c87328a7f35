/** One `Buffer`, enqueued into a plain `ReadableStream` for every web response. */
import { frame } from '../server/frame.js'
import { PLAIN_HEAD } from '../server/listen.js'

/** @import { WebContender } from '../types.js' */

export const start = () => startWith((bytes) => bytes)

/**
 * @param {(bytes: Buffer) => Uint8Array} chunkOf What one response gets of the bytes.
 * @returns {Promise<WebContender>}
 */
export async function startWith(chunkOf) {
	/** @type {Set<ReadableStreamDefaultController<Uint8Array>>} */
	const controllers = new Set()
	/** @type {ReadableStreamDefaultController<Uint8Array> | undefined} */
	let newest
	return {
		fetch() {
			/** @type {ReadableStreamDefaultController<Uint8Array>} */
			let own
			const body = new ReadableStream({
				start(controller) {
					own = controller
					newest = controller
					controllers.add(controller)
				},
				cancel: () => void controllers.delete(own),
			})
			return new Response(body, { headers: PLAIN_HEAD })
		},
		broadcast(data) {
			const bytes = Buffer.from(frame(data))
			for (const controller of controllers) controller.enqueue(chunkOf(bytes))
		},
		one: (data) => newest?.enqueue(chunkOf(Buffer.from(frame(data)))),
		count: () => controllers.size,
	}
}

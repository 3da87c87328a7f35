/** A server that clients come back to: one that knows what they missed, or one that only accepts them. */
import { checkBuilt } from '../built.js'
import { messages } from '../messages.js'
import { answer } from '../rpc.js'
import { HEAD, listen } from '../server/listen.js'

/** No limit that a case could reach. */
const NO_LIMIT = 1_000_000

/**
 * @typedef {object} Returned
 * @property {number} port
 * @property {(count: number, channels: number, bytes: number) => Promise<string>} miss Sends what the clients missed;
 * gives the id of the last event they had.
 */

/** @returns {Promise<Returned>} */
async function bare() {
	const { port } = await listen((_req, res) => void res.writeHead(200, HEAD).flushHeaders())
	return { port, miss: async () => '' }
}

/** @returns {Promise<Returned>} */
async function evstream() {
	checkBuilt('@evstream/core', import.meta.resolve('@evstream/core'))
	const { EvStreamManager } = await import('@evstream/core')
	const manager = new EvStreamManager({
		maxConnection: NO_LIMIT,
		maxListeners: NO_LIMIT,
		history: { size: 1000, ttl: 600_000 },
	})
	/** @type {string[]} */
	let names = []
	const { port } = await listen((req, res) => {
		const stream = manager.createStream(req, res)
		for (const name of names) stream.listen(name)
	})
	return {
		port,
		async miss(count, channels, bytes) {
			names = Array.from({ length: channels }, (_, index) => `c${index}`)
			const last = await manager.send('c0', { data: 'the last one they had' })
			const message = messages({ kind: 'string', bytes })
			for (let i = 0; i < count; i++) await manager.send(`c${i % channels}`, { data: message() })
			return last ?? ''
		},
	}
}

/** @type {Returned} */
let server

answer({
	async start() {
		server = await (process.argv[2] === 'evstream' ? evstream() : bare())
		return server.port
	},

	/** @param {{ count: number, channels: number, bytes: number }} missed */
	miss: ({ count, channels, bytes }) => server.miss(count, channels, bytes),
})

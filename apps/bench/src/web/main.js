/** A contender that answers web requests, and its clients: all in one process, without a network. */
import { Clients } from '../load/clients.js'
import { handlers as loadHandlers } from '../load/handlers.js'
import { answer } from '../rpc.js'
import { Acks } from '../server/acks.js'
import { handlers as serverHandlers } from '../server/handlers.js'
import { openWith } from './consumer.js'

/** @import { WebContender, WebContenderModule } from '../types.js' */

const acks = new Acks()
/** @type {WebContender} */
let contender
/** @type {Clients} */
let clients

answer({
	async start() {
		const module = /** @type {WebContenderModule} */ (await import(`../contenders/${process.argv[2]}.js`))
		contender = await module.start()
	},
	aim() {
		clients = new Clients(
			openWith((request) => contender.fetch(request)),
			(count) => acks.add(count),
		)
	},
	...serverHandlers(acks, () => contender),
	...loadHandlers(() => clients),
})

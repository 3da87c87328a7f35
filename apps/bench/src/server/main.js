/** The server process: holds one contender and does what the bench asks for. */
import { answer } from '../rpc.js'
import { Acks } from './acks.js'
import { handlers } from './handlers.js'
import { transports } from './transports.js'

/** @import { Contender, ContenderModule } from '../types.js' */

const acks = new Acks()
/** @type {Contender} */
let contender

answer({
	async start() {
		const [, , name, transport = 'http'] = process.argv
		const listen = transports[transport]
		if (listen === undefined) throw new Error(`There is no transport "${transport}".`)
		const module = /** @type {ContenderModule} */ (await import(`../contenders/${name}.js`))
		contender = await module.start(listen)
		return { port: contender.port, ackPort: await acks.listen() }
	},
	...handlers(acks, () => contender),
})

/** The load client process: many connections, as little work per event as possible. */
import { connect } from 'node:net'
import { answer } from '../rpc.js'
import { Clients } from './clients.js'
import { handlers } from './handlers.js'
import { http, https } from './http1.js'
import { http2 } from './http2.js'

/** @type {Record<string, (port: number) => import('./clients.js').Open>} */
const transports = { http, https, http2 }

/** @type {import('node:net').Socket} */
let acks
/** @type {Clients} */
let clients

answer({
	/** @param {{ port: number, ackPort: number }} ports */
	aim({ port, ackPort }) {
		const transport = transports[process.argv[2] ?? 'http']
		if (transport === undefined) throw new Error(`There is no transport "${process.argv[2]}".`)
		clients = new Clients(transport(port), (count) => acks.write(Buffer.alloc(count)))
		acks = connect({ host: '127.0.0.1', port: ackPort, noDelay: true })
		return new Promise((resolve, reject) => {
			acks.on('connect', () => resolve(undefined))
			acks.on('error', reject)
		})
	},
	...handlers(() => clients),
})

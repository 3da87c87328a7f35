/** One message a tick over TLS. */
import { CPU_METRICS, ONE_A_TICK, TRANSPORT_SIZES, throughput } from './throughput.js'

/** @type {import('../types.js').Case} */
export const https = {
	name: 'https',
	title: 'HTTPS: 300 clients over TLS, one message of 100 B a tick',
	transport: 'https',
	contenders: ['raw-buffer', 'evstream', 'better-sse'],
	baseline: 'raw-buffer',
	metrics: CPU_METRICS,
	sizes: TRANSPORT_SIZES,
	measure: (open, sizes) => throughput(open, sizes, ONE_A_TICK),
}

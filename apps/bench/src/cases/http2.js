/** One message a tick over HTTP/2, many streams in a session. */
import { CPU_METRICS, ONE_A_TICK, TRANSPORT_SIZES, throughput } from './throughput.js'

/** @type {import('../types.js').Case} */
export const http2 = {
	name: 'http2',
	title: 'HTTP/2: 300 clients without TLS (h2c) in 3 sessions, one message of 100 B a tick',
	transport: 'http2',
	contenders: ['raw-stream', 'evstream'],
	baseline: 'raw-stream',
	metrics: CPU_METRICS,
	sizes: TRANSPORT_SIZES,
	measure: (open, sizes) => throughput(open, sizes, ONE_A_TICK),
}

/** One message a tick into web responses. */
import { CPU_METRICS, ONE_A_TICK, TRANSPORT_SIZES, throughput } from './throughput.js'

/** @type {import('../types.js').Case} */
export const web = {
	name: 'web',
	title: 'Web responses: 300 read in the same process, one message of 100 B a tick',
	transport: 'web',
	contenders: ['raw-enqueue', 'raw-enqueue-copy', 'evstream-web'],
	baseline: 'raw-enqueue',
	// The clients are in the server's process: their share is in all figures, the same for everybody.
	metrics: CPU_METRICS.filter(({ key }) => key !== 'loadBusy'),
	setting: 'one process on one core',
	sizes: TRANSPORT_SIZES,
	measure: (open, sizes) => throughput(open, sizes, ONE_A_TICK),
}

import { AwaitableQueue } from '@evstream/testkit'
import type { EvCloseReason, EvOnClose, EvStreamManager } from '../../src/index.js'

/** One end of a stream, as `onClose` is told. */
export interface Ending {
	channels: string[]
	reason: EvCloseReason
}

/** Takes down each call of an `onClose`. */
export class Endings extends AwaitableQueue<Ending> {
	readonly callback: EvOnClose = (channels, reason) => this.push({ channels, reason })
}

/** Whether the manager holds nothing of any client. */
export function isEmpty(manager: EvStreamManager): boolean {
	const { connections, listeners, channels, bufferedBytes } = manager.stats()
	return connections + listeners + channels + bufferedBytes === 0
}

import { EvState, type EvStreamManager } from 'evstream'
import type { DemoChannels } from './channels.js'

/**
 * Ticks on the channel `clock` at every full second while somebody is connected.
 *
 * A state without an adapter: every instance tells its own clients the time, nothing crosses Redis, and ticks are
 * not kept in the history, so a client that comes back is not told the times it missed. No snapshot either: the
 * last tick may be old if nobody was here.
 */
export function startClock(manager: EvStreamManager<DemoChannels>): () => void {
	const clock = new EvState({ channel: 'clock', key: 'now', initialValue: 0, manager, snapshot: false })
	let timer: NodeJS.Timeout
	const wait = () => {
		timer = setTimeout(
			() => {
				if (manager.stats().connections > 0) clock.set(() => Date.now())
				wait()
			},
			1000 - (Date.now() % 1000),
		)
		timer.unref()
	}
	wait()
	return () => {
		clearTimeout(timer)
		clock.close()
	}
}
